-- jwtrole, application mode, version 1: the functions that policies call.
--
-- Released files are never edited. The application verifies the token and pushes its
-- claims as settings of the transaction; whoever can run SQL can push others.
-- A line "-- //" ends a statement.

CREATE SCHEMA jwtrole AUTHORIZATION jwtrole_owner
-- //
REVOKE ALL ON SCHEMA jwtrole FROM PUBLIC
-- //
GRANT USAGE ON SCHEMA jwtrole TO PUBLIC
-- //
CREATE FUNCTION jwtrole.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT 1'
-- //
CREATE FUNCTION jwtrole.sealed() RETURNS boolean
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
CREATE FUNCTION jwtrole.claims() RETURNS jsonb
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
CREATE FUNCTION jwtrole.claim(name text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN jwtrole.claims() ->> name;
END
$body$
-- //
CREATE FUNCTION jwtrole.subject() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN jwtrole.claims() ->> 'sub';
END
$body$
-- //
CREATE FUNCTION jwtrole.require(role text) RETURNS void
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
ALTER FUNCTION jwtrole.version() OWNER TO jwtrole_owner
-- //
ALTER FUNCTION jwtrole.sealed() OWNER TO jwtrole_owner
-- //
ALTER FUNCTION jwtrole.claims() OWNER TO jwtrole_owner
-- //
ALTER FUNCTION jwtrole.claim(text) OWNER TO jwtrole_owner
-- //
ALTER FUNCTION jwtrole.subject() OWNER TO jwtrole_owner
-- //
ALTER FUNCTION jwtrole.require(text) OWNER TO jwtrole_owner
