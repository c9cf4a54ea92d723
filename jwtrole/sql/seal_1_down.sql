-- jwtrole, database mode, version 1 of the seal: taken away again.
--
-- Policies and defaults go on calling the same functions, which answer again as
-- version 1 of the application mode has them.

DROP FUNCTION jwtrole.login(text), jwtrole.resume(text), jwtrole.anonymous(),
    jwtrole.rotate_seal()
-- //
CREATE OR REPLACE FUNCTION jwtrole.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT 1'
-- //
CREATE OR REPLACE FUNCTION jwtrole.sealed() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN coalesce(current_setting('jwtrole.claims', true), '') <> ''
       AND coalesce(current_setting('jwtrole.role', true), '')
           = CASE current_setting('role')
               WHEN 'none' THEN session_user::text
               ELSE current_setting('role') END;
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.claims() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF jwtrole.sealed() THEN
        RETURN current_setting('jwtrole.claims', true)::jsonb;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'JW006',
        MESSAGE = 'nobody is acting in this transaction',
        HINT = 'Run the statement through jwtrole, inside acting_as(identity).';
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.claim(name text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN jwtrole.claims() ->> name;
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.subject() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN jwtrole.claims() ->> 'sub';
END
$body$
-- //
CREATE OR REPLACE FUNCTION jwtrole.require(role text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF role IS NULL OR NOT jwtrole.sealed()
       OR current_setting('jwtrole.role', true) <> role THEN
        RAISE EXCEPTION USING ERRCODE = 'JW005',
            MESSAGE = 'this needs the role ' || coalesce(quote_ident(role), 'NULL'),
            HINT = 'Act as an identity whose token maps to that role.';
    END IF;
END
$body$
-- //
DROP VIEW jwtrole._worn, jwtrole._home
-- //
DROP FUNCTION jwtrole._put_on(bytea, bytea, text, text, text, text),
    jwtrole._sealed_with(bytea, bytea, text, text, text, text),
    jwtrole._ticket_with(bytea, bytea, text, text), jwtrole._mac(bytea, bytea, text),
    jwtrole._field(text), jwtrole._blind(bytea, text),
    jwtrole._binding(), jwtrole._refuse(text, text),
    jwtrole._refuse_copy(text)
-- //
DROP TABLE jwtrole.secret, jwtrole.installation
