-- jwtrole, database mode, version 2 of the seal: the same seals and tickets for less.
--
-- Released files are never edited. What the MACs are computed over is the same to the
-- byte: a ticket that version 1 handed out is good here, and the other way round. What
-- login() and anonymous() put on is made by version 1's functions still.
-- A line "-- //" ends a statement.
--
-- Each function and operator of a statement costs a look-up and a check of its ACL when
-- the statement starts, which is once a transaction and more. So one concat() stands in
-- place of a chain of operators, and nothing is computed twice: sub-selects hand it on,
-- kept apart by OFFSET 0. The secret goes with them, a column still: in a variable or a
-- constant debug_print_plan would show it.
--
-- concat() leaves out what is NULL where || answers NULL: with it a field that is
-- missing makes a message too. What comes out of a genuine ticket is never NULL. Where
-- settings are read, which anybody sets, missing claims are refused by name; a missing
-- seal is equal to none.
--
-- A view is parsed when it is made, under the search path of whoever installs. concat()
-- takes any types, so that a function of that name for those of the call, in any schema
-- of the path, would be preferred: in views it is named with its schema.

-- The first fields of each message: database and installation.
CREATE FUNCTION jwtrole._place(installation text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $body$
    SELECT concat(octet_length(current_database()::text), ':', current_database(),
        octet_length(installation), ':', installation)
$body$
-- //
-- What a seal is bound to stands here alone, whoever makes the seal or reads it.
CREATE OR REPLACE FUNCTION jwtrole._binding() RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED
AS $body$
    SELECT concat(pg_backend_pid(), '/', extract(epoch FROM transaction_timestamp()))
$body$
-- //
-- Its binding is handed to it, for it is used twice and computed once.
CREATE FUNCTION jwtrole._seal_of(
    ipad bytea, opad bytea, place text, binding text, role text, ends text, claims text
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $body$
    SELECT encode(jwtrole._mac(ipad, opad, concat('seal:', place,
        octet_length(binding), ':', binding, octet_length(role), ':', role,
        octet_length(ends), ':', ends, octet_length(claims), ':', claims)), 'hex')
$body$
-- //
CREATE FUNCTION jwtrole._ticket_of(
    ipad bytea, opad bytea, place text, body text
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $body$
    SELECT encode(jwtrole._mac(ipad, opad,
        concat('ticket:', place, octet_length(body), ':', body)), 'hex')
$body$
-- //
-- One statement, as before; the order of the tests is that of its sub-selects: the
-- ticket's MAC, then what its fields say, then the identity is put on.
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
            -- Made before the clock was set back: it would outlast what it may.
            WHEN (t.head ->> 0)::numeric - i.max_ticket - i.leeway
                > extract(epoch FROM clock_timestamp()) THEN 'JW001'
            ELSE left(concat(
                set_config('request.jwt.claims',
                    set_config('jwtrole.claims', t.claims, true), true),
                set_config('jwtrole.seal', concat(
                    jwtrole._seal_of(t.ipad, t.opad, t.place, t.binding,
                        t.head ->> 2, t.head ->> 1, t.claims),
                    t.head ->> 1), true)), 0) END
    INTO role, problem
    FROM (
        SELECT p.ipad, p.opad, p.place, jwtrole._binding() AS binding,
            (CASE WHEN jwtrole._blind(p.opad, left(ticket, 64))
                    = jwtrole._blind(p.opad,
                        jwtrole._ticket_of(p.ipad, p.opad, p.place, p.body))
                THEN split_part(p.body, chr(10), 1) END)::jsonb AS head,
            split_part(p.body, chr(10), 2) AS claims
        FROM (
            SELECT h.ipad, h.opad, jwtrole._place(h.installation) AS place,
                substr(ticket, 65) AS body
            FROM jwtrole._home AS h OFFSET 0) AS p
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
-- To replace a view waits for each transaction that has read it. The order is that in
-- which a transaction reads them, so that those that wait do not lock one another out.
-- The secret, where this is the database it was made for; no row in a copy. The path of
-- any table of the database names its oid: pg_database need not be scanned.
CREATE OR REPLACE VIEW jwtrole._home AS
SELECT s.ipad, s.opad,
    pg_catalog.concat(i.system, '/', i.database) AS installation
FROM jwtrole.secret AS s, jwtrole.installation AS i
WHERE s.one = 1 AND i.one = 1
    AND i.system = (pg_catalog.pg_control_system()).system_identifier
    AND i.database::text
        = split_part(pg_catalog.pg_relation_filepath(s.tableoid), '/', -2)
-- //
-- The identity in force, no row without one. What is cast is cast after the test.
CREATE OR REPLACE VIEW jwtrole._worn AS
SELECT w.claims::jsonb AS claims, w.role,
    w.ends::numeric > extract(epoch FROM clock_timestamp()) AS lasts
FROM (
    SELECT s.ipad, s.opad,
        jwtrole._place(pg_catalog.concat(i.system, '/', i.database)) AS place,
        jwtrole._binding() AS binding,
        CASE current_setting('role')
            WHEN 'none' THEN session_user::text ELSE current_setting('role') END AS role,
        left(current_setting('jwtrole.seal', true), 64) AS seal,
        substr(current_setting('jwtrole.seal', true), 65) AS ends,
        current_setting('jwtrole.claims', true) AS claims
    FROM jwtrole.secret AS s, jwtrole.installation AS i
    WHERE s.one = 1 AND i.one = 1
    OFFSET 0) AS w
WHERE w.claims IS NOT NULL
    AND jwtrole._blind(w.opad, w.seal) = jwtrole._blind(w.opad, jwtrole._seal_of(
        w.ipad, w.opad, w.place, w.binding, w.role, w.ends, w.claims))
-- //
-- Default privileges of whoever installs give nobody anything.
DO $do$
DECLARE
    made regprocedure;
    holder record;
BEGIN
    FOREACH made IN ARRAY ARRAY[
        'jwtrole._place(text)',
        'jwtrole._seal_of(bytea, bytea, text, text, text, text, text)',
        'jwtrole._ticket_of(bytea, bytea, text, text)']::regprocedure[]
    LOOP
        EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO jwtrole_owner', made);
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made);
        FOR holder IN
            SELECT r.rolname FROM pg_proc AS p, aclexplode(p.proacl) AS a, pg_roles AS r
            WHERE p.oid = made::oid AND r.oid = a.grantee
                AND r.rolname <> 'jwtrole_owner'
        LOOP
            EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM %I',
                made, holder.rolname);
        END LOOP;
    END LOOP;
END
$do$
