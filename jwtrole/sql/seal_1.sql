-- jwtrole, database mode, version 1 of the seal: who is acting, proved to each reader.
--
-- Released files are never edited. login() takes a token whose signature the database
-- has verified, seals its claims for one role, one backend and one transaction, and
-- hands out a ticket for the transactions that follow. Nothing here writes at run time.
-- A line "-- //" ends a statement.
--
-- The secret is read as a column in the statement that uses it and never held in a
-- variable: a variable is a constant to the planner, and debug_print_plan shows those.
-- For the same reason the entry points keep to generic plans, and what is cast is cast
-- only where a test of the row came first: the planner evaluates what depends on
-- constants alone, whatever CASE stands around it.

CREATE TABLE jwtrole.secret (
    one integer PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    ipad bytea NOT NULL,
    opad bytea NOT NULL
)
-- //
CREATE TABLE jwtrole.installation (
    one integer PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    system bigint NOT NULL,
    database oid NOT NULL
)
-- //
-- What a seal is bound to stands here alone.
CREATE FUNCTION jwtrole._binding() RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $body$
    SELECT pg_backend_pid()::text || '/'
        || extract(epoch FROM transaction_timestamp())::text
$body$
-- //
CREATE FUNCTION jwtrole._field(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $body$
    SELECT octet_length(value)::text || ':' || value
$body$
-- //
-- HMAC-SHA-256 (RFC 2104), the key given as its two padded forms.
CREATE FUNCTION jwtrole._mac(ipad bytea, opad bytea, message text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $body$
    SELECT sha256(opad || sha256(ipad || convert_to(message, 'UTF8')))
$body$
-- //
-- Two texts are compared by these, whose time of comparison tells nothing.
CREATE FUNCTION jwtrole._blind(opad bytea, message text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $body$
    SELECT sha256(opad || convert_to(message, 'UTF8'))
$body$
-- //
CREATE FUNCTION jwtrole._sealed_with(
    ipad bytea, opad bytea, installation text, role text, ends text, claims text
) RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $body$
    SELECT encode(jwtrole._mac(ipad, opad, 'seal:'
        || jwtrole._field(current_database()::text) || jwtrole._field(installation)
        || jwtrole._field(jwtrole._binding()) || jwtrole._field(role)
        || jwtrole._field(ends) || jwtrole._field(claims)), 'hex')
$body$
-- //
CREATE FUNCTION jwtrole._ticket_with(
    ipad bytea, opad bytea, installation text, body text
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $body$
    SELECT encode(jwtrole._mac(ipad, opad, 'ticket:'
        || jwtrole._field(current_database()::text) || jwtrole._field(installation)
        || jwtrole._field(body)), 'hex')
$body$
-- //
-- Puts an identity on and returns the empty string; its caller has proved everything.
CREATE FUNCTION jwtrole._put_on(
    ipad bytea, opad bytea, installation text, role text, ends text, claims text
) RETURNS text
LANGUAGE sql VOLATILE
AS $body$
    SELECT left(set_config('request.jwt.claims',
            set_config('jwtrole.claims', claims, true), true), 0)
        || left(set_config('jwtrole.seal', jwtrole._sealed_with(
            ipad, opad, installation, role, ends, claims) || ends, true), 0)
$body$
-- //
-- "one" tells the planner, which has no statistics of a new table, that there is one
-- row: what it takes for a long query it hands to the just-in-time compiler.
-- The secret, where this is the database it was made for; no row in a copy.
CREATE VIEW jwtrole._home AS
SELECT s.ipad, s.opad, i.system::text || '/' || i.database::text AS installation
FROM jwtrole.secret AS s, jwtrole.installation AS i
WHERE s.one = 1 AND i.one = 1
    AND i.system = (pg_catalog.pg_control_system()).system_identifier
    AND i.database = (
        SELECT d.oid FROM pg_catalog.pg_database AS d
        WHERE d.datname = current_database())
-- //
-- The identity in force, no row without one.
CREATE VIEW jwtrole._worn AS
SELECT current_setting('jwtrole.claims')::jsonb AS claims,
    CASE current_setting('role')
        WHEN 'none' THEN session_user::text ELSE current_setting('role') END AS role,
    substr(current_setting('jwtrole.seal'), 65)::numeric
        > extract(epoch FROM clock_timestamp()) AS lasts
FROM jwtrole.secret AS s, jwtrole.installation AS i
WHERE s.one = 1 AND i.one = 1
    AND jwtrole._blind(s.opad, left(current_setting('jwtrole.seal', true), 64))
    = jwtrole._blind(s.opad, jwtrole._sealed_with(
        s.ipad, s.opad, i.system::text || '/' || i.database::text,
        CASE current_setting('role')
            WHEN 'none' THEN session_user::text ELSE current_setting('role') END,
        substr(current_setting('jwtrole.seal', true), 65),
        current_setting('jwtrole.claims', true)))
-- //
CREATE FUNCTION jwtrole._refuse(code text, problem text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE
AS $body$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code,
        MESSAGE = concat_ws(': ', CASE code
            WHEN 'JW001' THEN 'the ticket is refused'
            WHEN 'JW002' THEN 'the ticket has expired'
            WHEN 'JW003' THEN 'the token is rejected'
            WHEN 'JW004' THEN 'the token has expired'
            WHEN 'JW005' THEN 'the role is denied'
            WHEN 'JW006' THEN 'nobody is acting in this transaction' END, problem),
        HINT = CASE code
            WHEN 'JW001' THEN 'Log in with the token again.'
            WHEN 'JW002' THEN 'Log in with the token again.'
            WHEN 'JW003' THEN 'Compare the token with what jwtrole.trust() was told.'
            WHEN 'JW004' THEN 'Get a new token and begin a new transaction.'
            WHEN 'JW005' THEN 'Act as an identity that maps to a fixed role.'
            WHEN 'JW006' THEN 'Run the statement through jwtrole, inside'
                || ' acting_as(identity).' END;
END
$body$
-- //
CREATE FUNCTION jwtrole._refuse_copy(code text) RETURNS void
LANGUAGE plpgsql STABLE
AS $body$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code,
        MESSAGE = 'this database is a copy of the one its seal was made for',
        HINT = 'Where it is meant to accept the same tokens, run SELECT'
            || ' jwtrole.rotate_seal() as the owner.';
END
$body$
-- //
CREATE FUNCTION jwtrole.login(
    token text, OUT role text, OUT ticket text, OUT expires timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    trusted jwtrole.issuer;
    found_claims jsonb;
    found_issuer text;
    verdict record;
    ends numeric;
    until numeric;
BEGIN
    SELECT v.issuer, v.claims INTO found_issuer, found_claims
    FROM jwtrole._verified(token) AS v;
    SELECT i.* INTO trusted FROM jwtrole.issuer AS i
    WHERE i.name = found_issuer AND i.name = found_claims ->> 'iss';
    IF NOT FOUND THEN
        PERFORM jwtrole._refuse('JW003', 'its issuer is not trusted');
    END IF;
    verdict := jwtrole._judge(found_claims, trusted);
    IF verdict.code IS NOT NULL THEN
        PERFORM jwtrole._refuse(verdict.code, verdict.problem);
    END IF;
    role := verdict.role;
    ends := (found_claims -> 'exp')::numeric;
    until := least(
        ends, floor(extract(epoch FROM clock_timestamp())) + trusted.max_ticket);
    ends := ends + trusted.leeway;
    SELECT jwtrole._put_on(h.ipad, h.opad, h.installation,
            role, ends::text, found_claims::text)
        || jwtrole._ticket_with(h.ipad, h.opad, h.installation, b.body) || b.body
    INTO ticket
    FROM jwtrole._home AS h, (
        SELECT jsonb_build_array(
                until, ends, role, trusted.name, trusted.generation)::text
            || chr(10) || found_claims::text OFFSET 0) AS b (body);
    IF NOT FOUND THEN
        PERFORM jwtrole._refuse_copy('JW003');
    END IF;
    expires := to_timestamp(until::double precision);
END
$body$
-- //
-- PL/pgSQL prepares each expression anew in each transaction, so that their number is
-- the cost: everything is one statement. A ticket is its MAC, then the line of its
-- fields (expiry, end of the token, role, issuer, generation), then the claims.
CREATE FUNCTION jwtrole.resume(ticket text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    role text;
    problem text;
BEGIN
    SELECT t.head ->> 2, CASE
            WHEN t.head IS NULL THEN 'JW001'
            WHEN i.generation IS DISTINCT FROM (t.head ->> 4)::bigint THEN 'JW001'
            WHEN (t.head ->> 0)::numeric <= extract(epoch FROM clock_timestamp())
                THEN 'JW002'
            ELSE jwtrole._put_on(h.ipad, h.opad, h.installation,
                t.head ->> 2, t.head ->> 1, t.claims) END
    INTO role, problem
    FROM jwtrole._home AS h
    CROSS JOIN LATERAL (
        SELECT (CASE WHEN g.genuine
                THEN split_part(substr(ticket, 65), chr(10), 1) END)::jsonb AS head,
            split_part(substr(ticket, 65), chr(10), 2) AS claims
        FROM (SELECT jwtrole._blind(h.opad, left(ticket, 64))
            = jwtrole._blind(h.opad, jwtrole._ticket_with(
                h.ipad, h.opad, h.installation, substr(ticket, 65)))) AS g (genuine)
        OFFSET 0) AS t
    LEFT JOIN jwtrole.issuer AS i ON i.name = t.head ->> 3;
    IF problem = '' THEN
        RETURN role;
    END IF;
    IF problem IS NULL THEN
        PERFORM jwtrole._refuse_copy('JW001');
    END IF;
    PERFORM jwtrole._refuse(problem);
END
$body$
-- //
CREATE FUNCTION jwtrole.anonymous() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    role text;
    problem text;
BEGIN
    SELECT a.role, coalesce(
            CASE WHEN a.role IS NULL THEN 'no role is set for who has no token' END,
            'the anonymous role is unfit: ' || jwtrole._unfit(a.role),
            jwtrole._put_on(h.ipad, h.opad, h.installation, a.role, 'Infinity', '{}'))
    INTO role, problem
    FROM jwtrole._home AS h LEFT JOIN jwtrole.anonymous AS a ON a.one = 1;
    IF problem = '' THEN
        RETURN role;
    END IF;
    IF problem IS NULL THEN
        PERFORM jwtrole._refuse_copy('JW006');
    END IF;
    PERFORM jwtrole._refuse('JW005', problem);
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT 2'
-- //
CREATE OR REPLACE FUNCTION jwtrole.sealed() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    RETURN coalesce((SELECT w.lasts FROM jwtrole._worn AS w), false);
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.claims() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    found jsonb;
    lasts boolean;
BEGIN
    SELECT w.claims, w.lasts INTO found, lasts FROM jwtrole._worn AS w;
    IF lasts THEN
        RETURN found;
    END IF;
    PERFORM jwtrole._refuse(CASE WHEN lasts IS NULL THEN 'JW006' ELSE 'JW004' END);
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.claim(name text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    found text;
    lasts boolean;
BEGIN
    SELECT w.claims ->> name, w.lasts INTO found, lasts FROM jwtrole._worn AS w;
    IF lasts THEN
        RETURN found;
    END IF;
    PERFORM jwtrole._refuse(CASE WHEN lasts IS NULL THEN 'JW006' ELSE 'JW004' END);
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.subject() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    RETURN jwtrole.claim('sub');
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.require(role text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    IF (SELECT w.lasts AND w.role = require.role FROM jwtrole._worn AS w) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'JW005',
        MESSAGE = 'this needs the role ' || coalesce(quote_ident(role), 'NULL'),
        HINT = 'Act as an identity whose token maps to that role.';
END
$body$
-- //
-- A new secret, bound to this very database: each seal and each ticket ends.
-- gen_random_uuid() draws on the server's own source of strong random numbers, 122
-- bits at a time; sha512 makes a whole HMAC key of sixteen of them.
CREATE FUNCTION jwtrole.rotate_seal() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    DELETE FROM jwtrole.installation;
    INSERT INTO jwtrole.installation (system, database)
    SELECT c.system_identifier, d.oid FROM pg_control_system() AS c, pg_database AS d
    WHERE d.datname = current_database();
    DELETE FROM jwtrole.secret;
    INSERT INTO jwtrole.secret (ipad, opad)
    SELECT decode(string_agg(lpad(to_hex(get_byte(k.key, n) # 54), 2, '0'), ''
            ORDER BY n), 'hex'),
        decode(string_agg(lpad(to_hex(get_byte(k.key, n) # 92), 2, '0'), ''
            ORDER BY n), 'hex')
    FROM (SELECT sha512(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8'))
        FROM generate_series(1, 16) OFFSET 0) AS k (key), generate_series(0, 63) AS n;
END
$body$
-- //
-- Everything belongs to the schema's own role, and default privileges of whoever
-- installs give nobody anything: EXECUTE is for all on six functions and on no other.
DO $do$
DECLARE
    item record;
    grantee oid;
BEGIN
    FOR item IN
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
            format('jwtrole.%I', c.relname) AS name, false AS public,
            c.relkind <> 'S' AS own,
            ARRAY(SELECT a.grantee FROM aclexplode(c.relacl) AS a
                WHERE a.grantee <> 'jwtrole_owner'::regrole) AS grantees
        FROM pg_class AS c WHERE c.relnamespace = 'jwtrole'::regnamespace
            AND c.relkind IN ('r', 'v', 'S')
        UNION ALL
        SELECT 'FUNCTION', format('jwtrole.%I(%s)', p.proname,
                pg_get_function_identity_arguments(p.oid)),
            p.proname IN
                ('claim', 'claims', 'require', 'sealed', 'subject', 'version'), true,
            ARRAY(SELECT a.grantee FROM aclexplode(p.proacl) AS a
                WHERE a.grantee NOT IN (0, 'jwtrole_owner'::regrole))
        FROM pg_proc AS p WHERE p.pronamespace = 'jwtrole'::regnamespace
    LOOP
        IF item.own THEN
            EXECUTE format('ALTER %s %s OWNER TO jwtrole_owner', item.kind, item.name);
        END IF;
        EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', item.kind, item.name);
        FOREACH grantee IN ARRAY item.grantees LOOP
            IF grantee <> 0 AND grantee <> 'jwtrole_owner'::regrole THEN
                EXECUTE format('REVOKE ALL ON %s %s FROM %I', item.kind, item.name,
                    (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = grantee));
            END IF;
        END LOOP;
        IF item.public THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', item.name);
        END IF;
    END LOOP;
END
$do$
-- //
DO $do$
BEGIN
    PERFORM jwtrole.rotate_seal();
END
$do$
