-- jwtrole, database mode, version 2 of the seal: taken away again.
--
-- What version 1 of the seal made is there again as it was made. Tickets and seals are
-- the same in both. "_home" comes before "_worn" here too (see seal_2.sql), and both
-- before what they call is dropped.

CREATE OR REPLACE FUNCTION jwtrole._binding() RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $body$
    SELECT pg_backend_pid()::text || '/'
        || extract(epoch FROM transaction_timestamp())::text
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.resume(ticket text) RETURNS text
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
CREATE OR REPLACE VIEW jwtrole._home AS
SELECT s.ipad, s.opad, i.system::text || '/' || i.database::text AS installation
FROM jwtrole.secret AS s, jwtrole.installation AS i
WHERE s.one = 1 AND i.one = 1
    AND i.system = (pg_catalog.pg_control_system()).system_identifier
    AND i.database = (
        SELECT d.oid FROM pg_catalog.pg_database AS d
        WHERE d.datname = current_database())
-- //
CREATE OR REPLACE VIEW jwtrole._worn AS
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
DROP FUNCTION jwtrole._ticket_of(bytea, bytea, text, text),
    jwtrole._seal_of(bytea, bytea, text, text, text, text, text),
    jwtrole._place(text)
