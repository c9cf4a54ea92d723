-- jwtrole, database mode, version 1 of the gate: taken away again.

DROP FUNCTION jwtrole.differences(jsonb)
-- //
CREATE OR REPLACE FUNCTION jwtrole.version() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT 2'
