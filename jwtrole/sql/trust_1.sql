-- jwtrole, database mode, version 1 of the trust: whose tokens, and for which roles.
--
-- Released files are never edited. What the database trusts is data, which the owner
-- tells it through functions; nobody else may read or write it. Each change ends the
-- tickets of its issuer.
-- A line "-- //" ends a statement.

CREATE TABLE jwtrole.anonymous (
    one integer PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    role text COLLATE "C" NOT NULL
)
-- //
CREATE TABLE jwtrole.role_map (
    issuer text COLLATE "C" NOT NULL REFERENCES jwtrole.issuer ON DELETE CASCADE,
    value text COLLATE "C" NOT NULL CHECK (value <> ''),
    role text COLLATE "C" NOT NULL,
    PRIMARY KEY (issuer, value)
)
-- //
-- Without a reference to the issuer: who is denied stays so when it is trusted again.
CREATE TABLE jwtrole.denied (
    issuer text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('jti', 'sub')),
    value text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (issuer, kind, value)
)
-- //
-- Says why a role may not be what a token is mapped to; NULL where it may.
CREATE FUNCTION jwtrole._unfit(target text) RETURNS text
LANGUAGE plpgsql STABLE
AS $body$
DECLARE
    home CONSTANT oid := (
        SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database());
    found record;
    known boolean := false;
BEGIN
    -- The role and all that it is a member of; an empty power is yet to be looked at.
    FOR found IN
        WITH RECURSIVE reached (oid) AS (
            SELECT r.oid FROM pg_roles AS r WHERE r.rolname = target
            UNION
            SELECT m.roleid FROM pg_auth_members AS m, reached
            WHERE m.member = reached.oid
        )
        SELECT r.oid, r.rolname, CASE WHEN r.rolsuper THEN 'is a superuser'
                WHEN r.rolbypassrls THEN 'bypasses row security'
                WHEN r.rolreplication THEN 'may replicate'
                WHEN r.rolcreaterole THEN 'may create roles'
                WHEN r.rolcanlogin THEN 'may log in'
                WHEN left(r.rolname, 3) = 'pg_' THEN 'is one of PostgreSQL''s own'
                WHEN r.rolname = 'jwtrole_owner' THEN 'owns the schema jwtrole'
                WHEN EXISTS (SELECT FROM pg_shdepend AS d
                    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
                        AND d.deptype = 'o' AND d.dbid IN (0, home))
                    THEN '' END AS power
        FROM reached JOIN pg_roles AS r USING (oid)
    LOOP
        known := true;
        IF found.power = '' AND jwtrole._owns(found.oid, home) THEN
            found.power := 'owns objects of this database';
        END IF;
        IF found.power <> '' THEN
            RETURN CASE WHEN found.rolname = target THEN 'it ' ELSE 'it is a member of '
                || quote_ident(found.rolname) || ', which ' END || found.power;
        END IF;
    END LOOP;
    RETURN CASE WHEN NOT known THEN 'it does not exist' END;
END
$body$
-- //
-- Anybody may own a temporary table: those do not count.
CREATE FUNCTION jwtrole._owns(holder oid, home oid) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $body$
BEGIN
    RETURN EXISTS (
        SELECT FROM pg_shdepend AS d
        LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        LEFT JOIN pg_namespace AS n ON n.oid = coalesce(c.relnamespace, p.pronamespace,
            CASE d.classid WHEN 'pg_namespace'::regclass THEN d.objid END)
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = holder
            AND d.deptype = 'o' AND (d.classid = 'pg_database'::regclass
                OR (d.dbid = home AND left(n.nspname, 8) <> 'pg_temp_')));
END
$body$
-- //
-- The first role that the claim names and the issuer's map holds. A claim that is
-- neither a string nor an array of strings names none, nor does a path through arrays.
CREATE FUNCTION jwtrole._mapped(issuer text, path text[], claims jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $body$
DECLARE
    names CONSTANT jsonb := CASE jsonb_typeof(claims #> path)
        WHEN 'array' THEN claims #> path
        WHEN 'string' THEN jsonb_build_array(claims #> path) END;
BEGIN
    RETURN (
        SELECT m.role
        FROM jsonb_array_elements(names) WITH ORDINALITY AS named (value, place)
        JOIN jwtrole.role_map AS m
            ON m.issuer = _mapped.issuer AND m.value = named.value #>> '{}'
        WHERE NOT EXISTS (
                SELECT FROM jsonb_array_elements(names) AS other (value)
                WHERE jsonb_typeof(other.value) <> 'string')
            AND NOT EXISTS (
                SELECT FROM generate_subscripts(path, 1) AS step
                WHERE jsonb_typeof(claims #> path[1:step - 1]) <> 'object')
        ORDER BY named.place
        LIMIT 1);
END
$body$
-- //
-- Judges claims whose signature is right; answers a SQLSTATE where they are refused.
CREATE FUNCTION jwtrole._judge(
    claims jsonb, trusted jwtrole.issuer, OUT code text, OUT problem text, OUT role text
)
LANGUAGE plpgsql STABLE
AS $body$
DECLARE
    -- The last second of the year 9999, as every reader of tokens here has it.
    last CONSTANT numeric := 253402300799;
    moment CONSTANT numeric := extract(epoch FROM clock_timestamp());
    good boolean;
BEGIN
    -- One statement for the forms. A comparison with what has another form is NULL.
    SELECT bool_and(CASE jsonb_typeof(d.value)
            WHEN 'number' THEN (d.value)::numeric BETWEEN 0 AND last ELSE false END)
        AND bool_or(d.name = 'exp')
    INTO good
    FROM (SELECT n, claims -> n FROM unnest('{exp,nbf,iat}'::text[]) AS n
        WHERE claims ? n) AS d (name, value);
    code := 'JW003';
    IF good IS NOT TRUE THEN
        problem := 'its exp, nbf or iat is no date'; RETURN;
    END IF;
    IF claims ? 'sub' AND jsonb_typeof(claims -> 'sub') <> 'string'
        OR claims ? 'jti' AND jsonb_typeof(claims -> 'jti') <> 'string' THEN
        problem := 'its sub or jti is no string'; RETURN;
    END IF;
    IF (CASE jsonb_typeof(claims -> 'aud')
            WHEN 'string' THEN claims ->> 'aud' = ANY (trusted.audience)
            WHEN 'array' THEN claims -> 'aud' ?| trusted.audience
                AND NOT jsonb_path_exists(claims -> 'aud',
                    'strict $[*] ? (@.type() != "string")') END) IS NOT TRUE THEN
        problem := 'it is for another audience'; RETURN;
    END IF;
    IF greatest((claims -> 'nbf')::numeric, (claims -> 'iat')::numeric)
        - trusted.leeway > moment THEN
        problem := 'it is not valid yet'; RETURN;
    END IF;
    IF (claims -> 'exp')::numeric + trusted.leeway <= moment THEN
        code := 'JW004'; problem := 'it has expired'; RETURN;
    END IF;
    IF EXISTS (SELECT FROM jwtrole.denied AS d
            WHERE d.issuer = trusted.name AND d.until > clock_timestamp()
            AND (d.kind = 'jti' AND d.value = claims ->> 'jti'
                OR d.kind = 'sub' AND d.value = claims ->> 'sub')) THEN
        problem := 'it or its subject is on the deny list'; RETURN;
    END IF;
    code := 'JW005';
    role := jwtrole._mapped(trusted.name, trusted.role_claim, claims);
    IF role IS NULL THEN
        problem := 'it names no role that its issuer may give'; RETURN;
    END IF;
    problem := 'its role ' || quote_ident(role) || ' is unfit: ' || jwtrole._unfit(role);
    IF problem IS NULL THEN
        code := NULL;
    END IF;
END
$body$
-- //
-- The owner's functions. A generation is never used twice, not even by an issuer that
-- is taken away and trusted again: it begins with the time.
CREATE FUNCTION jwtrole.trust(
    issuer text, audience text[], leeway integer DEFAULT 30,
    role_claim text[] DEFAULT '{role}', max_ticket integer DEFAULT 300
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    audiences CONSTANT text[] := ARRAY(SELECT unnest(audience));
    path CONSTANT text[] := ARRAY(SELECT unnest(role_claim));
BEGIN
    IF (issuer <> '' AND cardinality(audiences) > 0 AND cardinality(path) > 0
            AND '' <> ALL (audiences) AND '' <> ALL (path)
            AND leeway BETWEEN 0 AND 300 AND max_ticket BETWEEN 1 AND 86400)
            IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'an issuer needs a name, audiences, a leeway of 0 to 300 seconds,'
                || ' the path of its role claim and tickets of 1 to 86400 seconds';
    END IF;
    INSERT INTO jwtrole.issuer AS i
        (name, audience, leeway, role_claim, max_ticket, generation)
    VALUES (issuer, audiences, leeway, path, max_ticket,
        extract(epoch FROM clock_timestamp()) * 1000000)
    ON CONFLICT (name) DO UPDATE
    SET audience = excluded.audience, leeway = excluded.leeway,
        role_claim = excluded.role_claim, max_ticket = excluded.max_ticket,
        generation = i.generation + 1
    WHERE (i.audience, i.leeway, i.role_claim, i.max_ticket) IS DISTINCT FROM
        (excluded.audience, excluded.leeway, excluded.role_claim, excluded.max_ticket);
END
$body$
-- //
CREATE FUNCTION jwtrole._changed(issuer text) RETURNS void
LANGUAGE plpgsql
AS $body$
BEGIN
    UPDATE jwtrole.issuer AS i SET generation = i.generation + 1
    WHERE i.name = _changed.issuer;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'there is no such issuer',
            HINT = 'Name one that jwtrole.trust() was told of.';
    END IF;
END
$body$
-- //
CREATE FUNCTION jwtrole.untrust(issuer text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    PERFORM jwtrole._changed(issuer);
    DELETE FROM jwtrole.issuer AS i WHERE i.name = untrust.issuer;
END
$body$
-- //
CREATE FUNCTION jwtrole._check_target(target text) RETURNS void
LANGUAGE plpgsql STABLE
AS $body$
BEGIN
    IF target IS NULL OR jwtrole._unfit(target) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'JW005', MESSAGE = 'nobody may act as '
                || coalesce(quote_ident(target), 'NULL')
                || coalesce(': ' || jwtrole._unfit(target), ''),
            HINT = 'Name one of the fixed roles that jwtrole bootstrap made.';
    END IF;
END
$body$
-- //
CREATE FUNCTION jwtrole.map_role(issuer text, value text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    PERFORM jwtrole._check_target(role);
    IF EXISTS (SELECT FROM jwtrole.role_map AS m WHERE m.issuer = map_role.issuer
            AND m.value = map_role.value AND m.role = map_role.role) THEN
        RETURN;
    END IF;
    PERFORM jwtrole._changed(issuer);
    INSERT INTO jwtrole.role_map AS m VALUES (issuer, value, role)
    ON CONFLICT ON CONSTRAINT role_map_pkey DO UPDATE SET role = excluded.role;
END
$body$
-- //
CREATE FUNCTION jwtrole.unmap_role(issuer text, value text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    PERFORM jwtrole._changed(issuer);
    DELETE FROM jwtrole.role_map AS m
    WHERE m.issuer = unmap_role.issuer AND m.value = unmap_role.value;
END
$body$
-- //
CREATE FUNCTION jwtrole.set_anonymous(role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    DELETE FROM jwtrole.anonymous AS a WHERE a.role IS DISTINCT FROM set_anonymous.role;
    IF role IS NOT NULL THEN
        PERFORM jwtrole._check_target(role);
        INSERT INTO jwtrole.anonymous (role) VALUES (role) ON CONFLICT DO NOTHING;
    END IF;
END
$body$
-- //
-- A subject is one person at its issuer alone (RFC 7519, section 4.1.2).
CREATE FUNCTION jwtrole.deny(
    issuer text, kind text, value text, until timestamptz DEFAULT 'infinity'
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    PERFORM jwtrole._changed(issuer);
    DELETE FROM jwtrole.denied AS d WHERE d.until <= clock_timestamp();
    INSERT INTO jwtrole.denied VALUES (issuer, kind, value, until)
    ON CONFLICT ON CONSTRAINT denied_pkey DO UPDATE SET until = excluded.until;
END
$body$
-- //
CREATE FUNCTION jwtrole.allow(issuer text, kind text, value text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    DELETE FROM jwtrole.denied AS d WHERE d.issuer = allow.issuer
        AND d.kind = allow.kind AND d.value = allow.value;
END
$body$
