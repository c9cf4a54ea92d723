-- jwtrole, database mode, version 1 of the trust: taken away again, with its data.

DROP FUNCTION jwtrole.trust(text, text[], integer, text[], integer),
    jwtrole.untrust(text), jwtrole.map_role(text, text, text),
    jwtrole.unmap_role(text, text), jwtrole.set_anonymous(text),
    jwtrole.deny(text, text, text, timestamptz), jwtrole.allow(text, text, text),
    jwtrole._judge(jsonb, jwtrole.issuer), jwtrole._mapped(text, text[], jsonb),
    jwtrole._unfit(text), jwtrole._owns(oid, oid),
    jwtrole._check_target(text), jwtrole._changed(text)
-- //
DROP TABLE jwtrole.role_map, jwtrole.denied, jwtrole.anonymous
