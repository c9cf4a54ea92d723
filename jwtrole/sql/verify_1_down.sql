-- jwtrole, database mode, version 1: the verification is taken away again.
--
-- No CASCADE: what still needs one of these is an error here. Keys and issuers go too.

DROP FUNCTION jwtrole.retire_key(text, text)
-- //
DROP FUNCTION jwtrole.add_key(text, jsonb, boolean)
-- //
DROP FUNCTION jwtrole._add_points(jwtrole.key, jwtrole.curve, numeric, numeric)
-- //
DROP FUNCTION jwtrole._verified(text)
-- //
DROP FUNCTION jwtrole._signed_by(jwtrole.key, bytea, bytea)
-- //
DROP FUNCTION jwtrole._eddsa(jwtrole.key, bytea, bytea)
-- //
DROP FUNCTION jwtrole._ecdsa(jwtrole.key, bytea, bytea)
-- //
DROP FUNCTION jwtrole._edwards_sum(jwtrole.key, bytea)
-- //
DROP TABLE jwtrole.key
-- //
DROP TABLE jwtrole.point
-- //
DROP TABLE jwtrole.curve
-- //
DROP TABLE jwtrole.issuer
-- //
DROP FUNCTION jwtrole._forget_points()
-- //
DROP FUNCTION jwtrole._edwards_point(bytea)
-- //
DROP FUNCTION jwtrole._power(numeric, numeric, numeric)
-- //
DROP FUNCTION jwtrole._edwards_multiples(integer, numeric, numeric, numeric, integer)
-- //
DROP FUNCTION jwtrole._multiples(integer, numeric, numeric, numeric, integer)
-- //
DROP FUNCTION jwtrole._is_kid(text)
-- //
DROP FUNCTION jwtrole._inverse(numeric, numeric)
-- //
DROP FUNCTION jwtrole._hex(numeric, integer)
-- //
DROP FUNCTION jwtrole._little(bytea)
-- //
DROP FUNCTION jwtrole._number(bytea)
-- //
DROP FUNCTION jwtrole._octets(text)
-- //
DROP FUNCTION jwtrole._reciprocal(numeric)
