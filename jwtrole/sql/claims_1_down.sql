-- jwtrole, application mode, version 1: taken away again.
--
-- No CASCADE: a policy or a default that still calls a function is an error here,
-- never a policy that vanishes.

DROP FUNCTION jwtrole.require(text)
-- //
DROP FUNCTION jwtrole.subject()
-- //
DROP FUNCTION jwtrole.claim(text)
-- //
DROP FUNCTION jwtrole.claims()
-- //
DROP FUNCTION jwtrole.sealed()
-- //
DROP FUNCTION jwtrole.version()
-- //
DROP SCHEMA jwtrole
