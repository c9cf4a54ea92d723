-- jwtrole, database mode, version 1 of the gate: what is configured against what is
-- trusted.
--
-- Released files are never edited. An application asks once, before its first
-- statement, and does not begin where the two differ. Of a key its RFC 7638 thumbprint
-- is compared; that of a shared secret is not, for it would let guesses be tried.
-- A line "-- //" ends a statement.

CREATE FUNCTION jwtrole.differences(declared jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
    WITH wanted (name, value) AS (
        SELECT w.value ->> 'name', w.value
        FROM jsonb_array_elements(declared -> 'issuers') AS w (value)
    ), wanted_key (issuer, alg, rule, kid, thumbprint) AS (
        SELECT w.name, k.value ->> 'alg', k.value ->> 'rule', k.value ->> 'kid',
            k.value ->> 'thumbprint'
        FROM wanted AS w,
            jsonb_array_elements(nullif(w.value -> 'keys', 'null')) AS k (value)
    ), trusted_key (issuer, alg, rule, kid, thumbprint) AS (
        SELECT k.issuer, k.alg, k.kid_rule,
            CASE k.kid_rule WHEN 'named' THEN k.kid END,
            CASE WHEN left(k.alg, 2) <> 'HS' THEN k.thumbprint END
        FROM jwtrole.key AS k
    ), said (line) AS (
        SELECT format('issuer %s: the %s trusts it, the other does not',
            to_json(coalesce(w.name, i.name)),
            CASE WHEN i.name IS NULL THEN 'configuration' ELSE 'database' END)
        FROM wanted AS w FULL JOIN jwtrole.issuer AS i ON i.name = w.name
        WHERE w.name IS NULL OR i.name IS NULL
        UNION ALL
        SELECT format('issuer %s: %s', to_json(i.name), d.what)
        FROM wanted AS w JOIN jwtrole.issuer AS i ON i.name = w.name
        CROSS JOIN LATERAL (VALUES
            (ARRAY(SELECT DISTINCT unnest(i.audience) ORDER BY 1) <> ARRAY(
                SELECT DISTINCT a FROM jsonb_array_elements_text(w.value -> 'audience')
                    AS a ORDER BY 1), 'another audience'),
            (i.leeway <> (w.value ->> 'leeway')::integer, 'another leeway'),
            (i.role_claim <> ARRAY(
                SELECT jsonb_array_elements_text(w.value -> 'role_claim')),
                'another role claim'),
            (w.value -> 'roles' <> (
                SELECT coalesce(jsonb_object_agg(m.value, m.role), '{}')
                FROM jwtrole.role_map AS m WHERE m.issuer = i.name), 'other roles'),
            (NOT EXISTS (SELECT FROM trusted_key AS t WHERE t.issuer = i.name),
                'the database has none of its keys'),
            (w.value -> 'keys' <> 'null' AND EXISTS (
                (SELECT * FROM wanted_key AS k WHERE k.issuer = i.name
                    EXCEPT SELECT * FROM trusted_key AS t WHERE t.issuer = i.name)
                UNION ALL
                (SELECT * FROM trusted_key AS t WHERE t.issuer = i.name
                    EXCEPT SELECT * FROM wanted_key AS k WHERE k.issuer = i.name)),
                'other keys')) AS d (differs, what)
        WHERE d.differs
        UNION ALL
        SELECT 'another anonymous role'
        WHERE declared ->> 'anonymous' IS DISTINCT FROM (
            SELECT a.role FROM jwtrole.anonymous AS a)
        UNION ALL
        SELECT 'this database is a copy of the one its seal was made for'
        WHERE NOT EXISTS (SELECT FROM jwtrole._home)
    )
    SELECT string_agg(s.line, '; ' ORDER BY s.line COLLATE "C") FROM said AS s
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT 3'
-- //
-- A temporary table comes before any other of its name: left on a pooled connection by
-- injected SQL, it would take the next identity's rows. By default everybody may make
-- one. Only the database's owner can take that away; where that is somebody else, the
-- gate says so.
DO $do$
BEGIN
    IF has_database_privilege('public', current_database(), 'TEMPORARY') THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
END
$do$
-- //
-- Default privileges of whoever installs give nobody anything.
DO $do$
DECLARE
    holder record;
BEGIN
    ALTER FUNCTION jwtrole.differences(jsonb) OWNER TO jwtrole_owner;
    REVOKE ALL ON FUNCTION jwtrole.differences(jsonb) FROM PUBLIC;
    FOR holder IN
        SELECT r.rolname FROM pg_proc AS p, aclexplode(p.proacl) AS a, pg_roles AS r
        WHERE p.oid = 'jwtrole.differences(jsonb)'::regprocedure AND r.oid = a.grantee
            AND r.rolname <> 'jwtrole_owner'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION jwtrole.differences(jsonb) FROM %I',
            holder.rolname);
    END LOOP;
END
$do$
