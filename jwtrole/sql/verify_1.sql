-- jwtrole, database mode, version 1: the verification of a token's form and signature.
--
-- Released files are never edited. Core functions of PostgreSQL 14 to 18 alone: no
-- extension. The rules of reading are those of jwtrole.compact, jwtrole.strict and
-- jwtrole.keys, to the letter. Nobody but jwtrole_owner may call or read any of it.
-- No literal holds a backslash, and no query depends on a setting of the session.
-- A line "-- //" ends a statement.

DO $body$
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'jwtrole verifies tokens in databases encoded in UTF8 only',
            HINT = 'Create the database with ENCODING ''UTF8''.';
    END IF;
END
$body$
-- //
CREATE TABLE jwtrole.issuer (
    name text PRIMARY KEY CHECK (name <> ''),
    audience text[] NOT NULL CHECK (cardinality(audience) > 0),
    leeway integer NOT NULL CHECK (leeway BETWEEN 0 AND 300),
    role_claim text[] NOT NULL CHECK (cardinality(role_claim) > 0),
    max_ticket integer NOT NULL CHECK (max_ticket > 0),
    generation bigint NOT NULL DEFAULT 1
)
-- //
-- The curves (FIPS 186-5; SEC 2, section 2), "digits" being the number of pairs of
-- decimal digits of a scalar, "number" the key of the base point's multiples.
CREATE TABLE jwtrole.curve (
    name text PRIMARY KEY,
    alg text NOT NULL,
    number integer NOT NULL UNIQUE,
    size integer NOT NULL,
    digits integer NOT NULL,
    p numeric NOT NULL,
    n numeric NOT NULL,
    b numeric,
    x numeric NOT NULL,
    y numeric NOT NULL
)
-- //
INSERT INTO jwtrole.curve (name, alg, number, size, digits, p, n, b, x, y) VALUES
('P-256', 'ES256', 1, 32, 39,
115792089210356248762697446949407573530086143415290314195533631308867097853951,
115792089210356248762697446949407573529996955224135760342422259061068512044369,
41058363725152142129326129780047268409114441015993725554835256314039467401291,
48439561293906451759052585252797914202762949526041747995844080717082404635286,
36134250956749795798585127919587881956611106672985015071877198253568414405109),
('P-384', 'ES384', 2, 48, 58,
'39402006196394479212279040100143613805079739270465446667948293404245721771496870'
'329047266088258938001861606973112319',
'39402006196394479212279040100143613805079739270465446667946905279627659399113263'
'569398956308152294913554433653942643',
'27580193559959705877849011840389048093056905856361568521428707301988689241309860'
'865136260764883745107765439761230575',
'26247035095799689268623156744566981891852923491109213387815615900925518854738050'
'089022388053975719786650872476732087',
'83257109614890299855467512895201081792878530488613155947092059024805031998844192'
'24438643760392947333078086511627871'),
('P-521', 'ES512', 3, 66, 79,
'68647976601306097149819007990813932172694353001433054093944634591855431833976560'
'52122559640661454554977296311391480858037121987999716643812574028291115057151',
'68647976601306097149819007990813932172694353001433054093944634591855431833976553'
'94245057746333217197532963996371363321113864768612440380340372808892707005449',
'10938490380737342745111123907668055699362075989516837489945863944959531161507350'
'16013708737573759623248592132296706313309438452531591012912142327488478985984',
'26617408020502170632287687167233609607298591687569731477066713684188029449964278'
'08491545080627771902352094241225065558662157113545570916814161637315895999846',
'37571800257700204635455072244911836035944551347697624866945677796155444774405563'
'16691234405012945539562144444537289428522585666729196580810124344277578376784'),
('Ed25519', 'EdDSA', 4, 32, 38,
57896044618658097711785492504343953926634992332820282019728792003956564819949,
7237005577332262213973186563042994240857116359379907606001950938285454250989,
NULL,
15112221349535400772501151409588531511454012693041857206046113283949847762202,
46316835694926478169428394003475163141307993866256225615783033603165251855960)
-- //
-- A key is bound to one issuer and one algorithm. kid_rule says which tokens may mean
-- it: "named" its kid, "unnamed" no kid, "any" whatever their kid is.
CREATE TABLE jwtrole.key (
    issuer text NOT NULL REFERENCES jwtrole.issuer ON UPDATE CASCADE ON DELETE CASCADE,
    kid text NOT NULL,
    alg text NOT NULL,
    kid_rule text NOT NULL CHECK (kid_rule IN ('named', 'unnamed', 'any')),
    thumbprint text NOT NULL,
    number integer GENERATED ALWAYS AS IDENTITY (START WITH 100 MAXVALUE 200000) UNIQUE,
    hash integer NOT NULL,
    bits integer,
    size integer,
    inner_pad bytea,
    outer_pad bytea,
    n numeric,
    reciprocal numeric,
    cut integer,
    encoded numeric,
    unit numeric,
    digits integer,
    base_number integer,
    p numeric,
    public bytea,
    PRIMARY KEY (issuer, kid, alg)
)
-- //
-- Multiples of points for the comb method: "spot" is
-- number * 10000 + window * 100 + digit, window 0 that of the highest digits.
-- On Ed25519 x, y, z hold (y + x, y - x, 2dxy) of the point.
CREATE TABLE jwtrole.point (
    spot integer PRIMARY KEY,
    x numeric NOT NULL,
    y numeric NOT NULL,
    z numeric
)
-- //
-- Inline and uncompressed: nothing is fetched from elsewhere when a token is verified.
ALTER TABLE jwtrole.key
    ALTER n SET STORAGE PLAIN, ALTER reciprocal SET STORAGE PLAIN,
    ALTER encoded SET STORAGE PLAIN, ALTER p SET STORAGE PLAIN
-- //
ALTER TABLE jwtrole.point
    ALTER x SET STORAGE PLAIN, ALTER y SET STORAGE PLAIN, ALTER z SET STORAGE PLAIN
-- //
CREATE FUNCTION jwtrole._octets(part text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    -- One canonical form, no padding, no stray bits (RFC 7515, section 2).
    IF part ~ (
        '^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-][AQgw]'
        '|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])$') THEN
        RETURN decode(rpad(translate(part, '-_', '+/'),
                           (length(part) + 3) / 4 * 4, '='), 'base64');
    END IF;
    RETURN NULL;
END
$body$
-- //
CREATE FUNCTION jwtrole._number(octets bytea) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    -- Seven bytes fit into a bigint, and slices of whole bytes are plain copies.
    bits varbit := ('x' || repeat('00', (28 - length(octets) % 28) % 28)
                    || encode(octets, 'hex'))::varbit;
    found numeric := 0;
BEGIN
    FOR at IN 1 .. length(bits) BY 224 LOOP
        found := found
            * 26959946667150639794667015087019630673637144422540572481103610249216
            + (substring(bits, at, 56)::bigint * 72057594037927936::numeric
               + substring(bits, at + 56, 56)::bigint)
            * 5192296858534827628530496329220096
            + (substring(bits, at + 112, 56)::bigint * 72057594037927936::numeric
               + substring(bits, at + 168, 56)::bigint);
    END LOOP;
    RETURN found;
END
$body$
-- //
CREATE FUNCTION jwtrole._little(octets bytea) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    -- reverse() turns the hexadecimal digits round, and the two of each byte with them.
    bits varbit := ('x' || reverse(encode(octets, 'hex')))::varbit;
    low varbit := ('x' || repeat('0f', length(octets)))::varbit;
    found numeric := 0;
BEGIN
    bits := ((bits >> 4) & low) | ((bits & low) << 4);
    -- 32 and 64 bytes begin with 32 and 8 bits that no slice of 56 takes.
    found := substring(bits, 1, length(bits) % 56)::bigint;
    FOR at IN length(bits) % 56 + 1 .. length(bits) BY 56 LOOP
        found := found * 72057594037927936 + substring(bits, at, 56)::bigint;
    END LOOP;
    RETURN found;
END
$body$
-- //
CREATE FUNCTION jwtrole._hex(value numeric, octets integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    rest numeric := value;
    found text := '';
BEGIN
    FOR turn IN 1 .. (octets + 6) / 7 LOOP
        found := lpad(to_hex(mod(rest, 72057594037927936)::bigint), 14, '0') || found;
        rest := div(rest, 72057594037927936);
    END LOOP;
    RETURN right(found, 2 * octets);
END
$body$
-- //
CREATE FUNCTION jwtrole._inverse(value numeric, modulus numeric) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    a numeric := modulus;
    b numeric := mod(mod(value, modulus) + modulus, modulus);
    u numeric := 0;
    v numeric := 1;
    q numeric;
BEGIN
    -- Euclid's algorithm, two steps a turn, so that nothing changes places.
    WHILE b <> 0 LOOP
        q := div(a, b);
        a := a - q * b;
        u := u - q * v;
        IF a = 0 THEN
            RETURN mod(v + modulus, modulus);
        END IF;
        q := div(b, a);
        b := b - q * a;
        v := v - q * u;
    END LOOP;
    RETURN mod(u + modulus, modulus);
END
$body$
-- //
CREATE FUNCTION jwtrole._ecdsa(k jwtrole.key, digest bytea, signature bytea)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET enable_seqscan = off
AS $body$
DECLARE
    p numeric := k.p;
    r numeric;
    s numeric;
    scalars bytea;
    spots integer[];
    exact boolean := false;
    px numeric;
    py numeric;
    x numeric;
    y numeric;
    zz numeric;
    zzz numeric;
    a numeric;
    b numeric;
    aa numeric;
    aaa numeric;
    q numeric;
BEGIN
    IF length(signature) <> 2 * k.size THEN
        RETURN false;
    END IF;
    r := jwtrole._number(substr(signature, 1, k.size));
    s := jwtrole._number(substr(signature, k.size + 1));
    IF r = 0 OR s = 0 OR r >= k.n OR s >= k.n THEN
        RETURN false;
    END IF;
    -- FIPS 186-5, section 6.4.2. The digest is never longer than n.
    s := jwtrole._inverse(s, k.n);
    scalars := convert_to(
        lpad(mod(jwtrole._number(digest) * s, k.n)::text, 2 * k.digits, '0')
        || lpad(mod(r * s, k.n)::text, 2 * k.digits, '0'), 'UTF8');
    -- One point for each window of two digits; a digit of 0 has none to add.
    spots := ARRAY(
        SELECT CASE WHEN w.i < k.digits THEN 10000 * k.base_number
               ELSE 10000 * k.number - 100 * k.digits END
            + 100 * w.i + 10 * get_byte(scalars, 2 * w.i)
            + get_byte(scalars, 2 * w.i + 1) - 528
        FROM generate_series(0, 2 * k.digits - 1) AS w (i));
    LOOP
        x := NULL;
        FOR px, py IN
            SELECT o.x, o.y FROM jwtrole.point AS o WHERE o.spot = ANY (spots)
        LOOP
            IF x IS NULL THEN
                x := px;
                y := py;
                zz := 1;
                zzz := 1;
                CONTINUE;
            END IF;
            -- madd-2008-s of the Explicit-Formulas Database, x = X/ZZ, y = Y/ZZZ.
            a := mod(px * zz - x, p);
            b := mod(py * zzz - y, p);
            IF exact AND a = 0 THEN
                IF b <> 0 THEN
                    x := NULL;
                    CONTINUE;
                END IF;
                -- mdbl-2008-s-1
                a := 2 * py;
                zz := mod(a * a, p);
                zzz := mod(a * zz, p);
                q := mod(px * zz, p);
                b := mod(3 * (px * px - 1), p);
                x := mod(b * b - 2 * q, p);
                y := mod(b * (q - x) - zzz * py, p);
                CONTINUE;
            END IF;
            aa := mod(a * a, p);
            aaa := mod(a * aa, p);
            q := mod(x * aa, p);
            x := mod(b * b - aaa - 2 * q, p);
            y := mod(b * (q - x) - y * aaa, p);
            zz := mod(zz * aa, p);
            zzz := mod(zzz * aaa, p);
        END LOOP;
        -- The formula makes zz 0, for good, where it meets equal or opposite points:
        -- then all is added again with an eye on these cases.
        EXIT WHEN exact OR zz <> 0;
        exact := true;
    END LOOP;
    IF x IS NULL THEN
        RETURN false;
    END IF;
    RETURN mod(x - r * zz, p) = 0
        OR (r + k.n < p AND mod(x - (r + k.n) * zz, p) = 0);
END
$body$
-- //
-- The sum of multiples of the base point and of a key, extended twisted coordinates.
CREATE FUNCTION jwtrole._edwards_sum(
    k jwtrole.key, scalars bytea, OUT x numeric, OUT y numeric, OUT z numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET enable_seqscan = off
AS $body$
DECLARE
    p numeric := k.p;
    t numeric := 0;
    spots integer[];
    px numeric;
    py numeric;
    pz numeric;
    a numeric;
    b numeric;
    c numeric;
    e numeric;
    h numeric;
BEGIN
    x := 0;
    y := 1;
    z := 1;
    -- One point for each window of two digits; a digit of 0 has none to add.
    spots := ARRAY(
        SELECT CASE WHEN w.i < k.digits THEN 10000 * k.base_number
               ELSE 10000 * k.number - 100 * k.digits END
            + 100 * w.i + 10 * get_byte(scalars, 2 * w.i)
            + get_byte(scalars, 2 * w.i + 1) - 528
        FROM generate_series(0, 2 * k.digits - 1) AS w (i));
    FOR px, py, pz IN
        SELECT o.x, o.y, o.z FROM jwtrole.point AS o WHERE o.spot = ANY (spots)
    LOOP
        -- madd-2008-hwcd-3, complete on this curve: no case is an exception.
        a := (y - x) * py;
        b := (y + x) * px;
        c := mod(t * pz, p);
        e := mod(b - a, p);
        h := mod(b + a, p);
        a := 2 * z - c;
        b := 2 * z + c;
        x := mod(e * a, p);
        y := mod(b * h, p);
        t := mod(e * h, p);
        z := mod(a * b, p);
    END LOOP;
END
$body$
-- //
CREATE FUNCTION jwtrole._eddsa(k jwtrole.key, signed bytea, signature bytea)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    p numeric := k.p;
    s numeric;
    ry numeric;
    sign numeric;
    x numeric;
    y numeric;
    z numeric;
BEGIN
    IF length(signature) <> 64 THEN
        RETURN false;
    END IF;
    -- RFC 8032, section 5.1.7, without the cofactor: R is compared as it is written.
    -- p is 2 ^ 255 - 19.
    s := jwtrole._little(substr(signature, 33));
    ry := jwtrole._little(substr(signature, 1, 32));
    sign := div(ry, p + 19);
    ry := mod(ry, p + 19);
    IF s >= k.n OR ry >= p THEN
        RETURN false;
    END IF;
    SELECT q.x, q.y, q.z INTO x, y, z FROM jwtrole._edwards_sum(k, convert_to(
        lpad(s::text, 2 * k.digits, '0')
        || lpad(mod(jwtrole._little(
            sha512(substr(signature, 1, 32) || k.public || signed)), k.n)::text,
            2 * k.digits, '0'), 'UTF8')) AS q;
    IF mod(y - ry * z, p) <> 0 THEN
        RETURN false;
    END IF;
    x := mod(x * jwtrole._inverse(z, p), p);
    RETURN mod(CASE WHEN x < 0 THEN x + p ELSE x END, 2) = sign;
END
$body$
-- //
CREATE FUNCTION jwtrole._signed_by(k jwtrole.key, signed bytea, signature bytea)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    digest bytea;
    s numeric;
    m numeric;
    salt varbit;
    seed bytea;
    mask bytea := '';
    length_of_mask integer;
    length_of_top integer;
BEGIN
    -- Both sides are hashed with the key once more: how long they agree tells nothing.
    IF k.alg LIKE 'HS%' THEN
        RETURN sha256(k.outer_pad || signature) = sha256(k.outer_pad || CASE k.hash
            WHEN 32 THEN sha256(k.outer_pad || sha256(k.inner_pad || signed))
            WHEN 48 THEN sha384(k.outer_pad || sha384(k.inner_pad || signed))
            WHEN 64 THEN sha512(k.outer_pad || sha512(k.inner_pad || signed)) END);
    END IF;
    IF k.alg = 'EdDSA' THEN
        RETURN jwtrole._eddsa(k, signed, signature);
    END IF;
    digest := CASE k.hash WHEN 32 THEN sha256(signed) WHEN 48 THEN sha384(signed)
                          WHEN 64 THEN sha512(signed) END;
    IF k.alg LIKE 'ES%' THEN
        RETURN jwtrole._ecdsa(k, digest, signature);
    END IF;
    IF k.alg NOT LIKE 'RS%' AND k.alg NOT LIKE 'PS%' THEN
        RETURN false;
    END IF;
    IF length(signature) <> k.size THEN
        RETURN false;
    END IF;
    s := jwtrole._number(signature);
    IF s >= k.n THEN
        RETURN false;
    END IF;
    -- s ^ 65537 by Barrett's reduction: what is cut off is under a tenth of n and the
    -- reciprocal nearly exact, so the quotient is too small by 1 at most, and each m
    -- stays in [0, 2n).
    m := s;
    FOR squaring IN 1 .. 16 LOOP
        m := m * m;
        m := m - trunc(trunc(m, k.cut) * k.reciprocal) * k.n;
    END LOOP;
    m := mod(m * s, k.n);
    IF k.alg LIKE 'RS%' THEN
        -- RFC 8017, section 8.2.2: "encoded" is the one right message for a hash of 0.
        RETURN m = k.encoded + jwtrole._number(digest);
    END IF;
    -- RFC 8017, section 9.1.2; here "encoded" is the bound 2 ^ (bits - 1), and "unit"
    -- 2 ^ (8 * hash).
    IF mod(m, 256) <> 188 OR m >= k.encoded THEN
        RETURN false;
    END IF;
    m := div(m, 256);
    seed := decode(jwtrole._hex(mod(m, k.unit), k.hash), 'hex');
    m := div(m, k.unit);
    length_of_mask := (k.bits + 6) / 8 - k.hash - 1;
    length_of_top := length_of_mask - k.hash;
    FOR counter IN 0 .. (length_of_mask - 1) / k.hash LOOP
        mask := mask || CASE k.hash WHEN 32 THEN sha256(seed || int4send(counter))
                                    WHEN 48 THEN sha384(seed || int4send(counter))
                                    ELSE sha512(seed || int4send(counter)) END;
    END LOOP;
    salt := ('x' || encode(substr(mask, length_of_top + 1, k.hash), 'hex'))::varbit
          # ('x' || jwtrole._hex(mod(m, k.unit), k.hash))::varbit;
    -- Above the salt nothing but zeros and a 1, the bits beyond the modulus left out.
    mask := substr(mask, 1, length_of_top);
    mask := set_byte(mask, length_of_top - 1, get_byte(mask, length_of_top - 1) # 1);
    mask := set_byte(mask, 0, get_byte(mask, 0)
                     & (255 >> (8 * ((k.bits + 6) / 8) - k.bits + 1)));
    IF div(m, k.unit) <> jwtrole._number(mask) THEN
        RETURN false;
    END IF;
    -- varbit_send puts the number of bits in front, in four bytes.
    digest := int8send(0) || digest || substr(varbit_send(salt), 5);
    RETURN seed = CASE k.hash WHEN 32 THEN sha256(digest) WHEN 48 THEN sha384(digest)
                                ELSE sha512(digest) END;
END
$body$
-- //
CREATE FUNCTION jwtrole._verified(token text, OUT issuer text, OUT claims jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    part text[];
    head text;
    body text;
    plain_head text;
    plain_body text;
    header jsonb;
    found record;
BEGIN
    IF token IS NULL OR octet_length(token) > 16384 OR token !~ (
            '^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-][AQgw]'
            '|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])'
            '[.](?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-][AQgw]'
            '|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])'
            '[.](?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-][AQgw]'
            '|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])$') THEN
        RAISE EXCEPTION USING ERRCODE = 'JW003', MESSAGE = 'The token is no compact JWT'
            ' of at most 16384 bytes in canonical base64url (RFC 7515, section 7.1).';
    END IF;
    part := string_to_array(replace(replace(token, '-', '+'), '_', '/'), '.');
    BEGIN
        head := convert_from(decode(rpad(
            part[1], (length(part[1]) + 3) / 4 * 4, '='), 'base64'), 'UTF8');
        body := convert_from(decode(rpad(
            part[2], (length(part[2]) + 3) / 4 * 4, '='), 'base64'), 'UTF8');
        header := head::jsonb;
        claims := body::jsonb;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        header := NULL;
    END;
    -- Without escapes each quote begins or ends a string, and jsonb, which writes the
    -- same strings, has fewer of them exactly where it dropped a repeated key.
    plain_head := replace(replace(head, chr(92) || chr(92), ''), chr(92) || '"', '');
    plain_body := replace(replace(body, chr(92) || chr(92), ''), chr(92) || '"', '');
    IF (jsonb_typeof(header) = 'object' AND jsonb_typeof(claims) = 'object'
        AND length(replace(plain_head, '"', '')) - length(plain_head)
            = length(replace(replace(replace(header::text, chr(92) || chr(92), ''),
                                     chr(92) || '"', ''), '"', ''))
            - length(replace(replace(header::text, chr(92) || chr(92), ''),
                             chr(92) || '"', ''))
        AND length(replace(plain_body, '"', '')) - length(plain_body)
            = length(replace(replace(replace(claims::text, chr(92) || chr(92), ''),
                                     chr(92) || '"', ''), '"', ''))
            - length(replace(replace(claims::text, chr(92) || chr(92), ''),
                             chr(92) || '"', ''))
       ) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'JW003', MESSAGE = 'The token''s header and'
            ' claims are no JSON objects in UTF-8 with each key once (RFC 7519).';
    END IF;
    -- Where a bracket or a number might be too much, a second look leaves out strings.
    IF length(replace(replace(body, '{', ''), '[', '')) + 32 < length(body)
       OR length(replace(replace(head, '{', ''), '[', '')) + 32 < length(head)
       OR body ~ '[eE][-+]?[0-9]{3}|[-+.0-9eE]{201}'
       OR head ~ '[eE][-+]?[0-9]{3}|[-+.0-9eE]{201}' THEN
        IF jsonb_path_exists(jsonb_build_array(header, claims), 'strict $.**{33} ?'
               ' (@.type() == "object" || @.type() == "array")')
           OR (SELECT string_agg(outside, '') FROM
                unnest(string_to_array(plain_head || ' ' || plain_body, '"'))
                WITH ORDINALITY AS u (outside, o) WHERE o % 2 = 1)
              ~ '[eE][-+]?[0-9]{3}|[-+.0-9eE]{201}' THEN
            RAISE EXCEPTION USING ERRCODE = 'JW003', MESSAGE = 'The token holds JSON'
                ' nested too deeply, or a number that is no double.';
        END IF;
    END IF;
    IF (NOT jsonb_exists_any(header, ARRAY[
            'jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip'])
        AND jsonb_typeof(header -> 'alg') = 'string'
        AND (NOT jsonb_exists(header, 'typ')
             OR (jsonb_typeof(header -> 'typ') = 'string'
                 AND lower((header ->> 'typ') COLLATE "C") IN
                     ('jwt', 'at+jwt', 'application/jwt', 'application/at+jwt')))
        AND (NOT jsonb_exists(header, 'kid')
             OR (jsonb_typeof(header -> 'kid') = 'string'
                 AND jwtrole._is_kid(header ->> 'kid')))
       ) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'JW003', MESSAGE = 'The token''s header has a'
            ' member that is never accepted, or a wrong alg, typ or kid (RFC 8725).';
    END IF;
    -- NumericDate up to the year 9999; half the distance to the next double more.
    IF (CASE jsonb_typeof(claims -> 'exp') WHEN 'number' THEN
            (claims -> 'exp')::numeric BETWEEN 0 AND 253402300799.0000152587890625 END
        AND CASE coalesce(jsonb_typeof(claims -> 'nbf'), '') WHEN 'number' THEN
            (claims -> 'nbf')::numeric BETWEEN 0 AND 253402300799.0000152587890625
            WHEN '' THEN true END
        AND CASE coalesce(jsonb_typeof(claims -> 'iat'), '') WHEN 'number' THEN
            (claims -> 'iat')::numeric BETWEEN 0 AND 253402300799.0000152587890625
            WHEN '' THEN true END
        AND coalesce(jsonb_typeof(claims -> 'sub'), 'string') = 'string'
        AND coalesce(jsonb_typeof(claims -> 'jti'), 'string') = 'string'
        AND CASE jsonb_typeof(claims -> 'aud') WHEN 'string' THEN true
            WHEN 'array' THEN claims -> 'aud' <> '[]' AND NOT jsonb_path_exists(
                claims -> 'aud', 'strict $[*] ? (@.type() != "string")') END
        AND jsonb_typeof(claims -> 'iss') = 'string'
        AND claims ->> 'iss' <> '') IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'JW003', MESSAGE = 'The token lacks exp, aud or'
            ' iss, or has an exp, nbf, iat, sub, jti, aud or iss of a wrong type.';
    END IF;
    issuer := claims ->> 'iss';
    FOR found IN
        SELECT k, count(*) OVER () AS candidates
        FROM jwtrole.key AS k
        WHERE k.issuer = claims ->> 'iss' AND k.alg = header ->> 'alg'
          AND (NOT jsonb_exists(header, 'kid') OR k.kid_rule = 'any'
               OR (k.kid_rule = 'named' AND k.kid = header ->> 'kid'))
    LOOP
        IF found.candidates > 8 THEN
            RAISE EXCEPTION USING ERRCODE = 'JW003', MESSAGE = 'Over 8 keys could have'
                ' signed the token: have the issuer name the key in each token''s kid.';
        END IF;
        IF jwtrole._signed_by(
            found.k,
            convert_to(left(token, -1 - length(part[3])), 'UTF8'),
            decode(rpad(part[3], (length(part[3]) + 3) / 4 * 4, '='), 'base64')) THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = 'JW003', MESSAGE = 'No key of a trusted issuer,'
        ' bound to the token''s alg and kid, has signed the token.';
END
$body$
-- //
CREATE FUNCTION jwtrole._is_kid(kid text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    -- No control character and no line separator.
    RETURN length(kid) BETWEEN 1 AND 256
       AND kid !~ ('[' || chr(1) || '-' || chr(31) || chr(127) || '-' || chr(159)
                   || chr(8232) || chr(8233) || ']');
END
$body$
-- //
CREATE FUNCTION jwtrole._multiples(
    target integer, px numeric, py numeric, p numeric, digits integer) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    -- Barrett's reduction as for RSA: before PostgreSQL 18 far cheaper than mod().
    -- What it leaves lies within 1.2 p of 0, on either side.
    cut integer := 2 - length(p::text);
    reciprocal numeric := jwtrole._reciprocal(p);
    bx numeric := px;
    bb numeric := py;
    x numeric;
    y numeric;
    zz numeric;
    zzz numeric;
    a numeric;
    b numeric;
    aa numeric;
    aaa numeric;
    q numeric;
    xs numeric[];
    ys numeric[];
    zzs numeric[];
    zzzs numeric[];
    products numeric[];
BEGIN
    FOR spare IN REVERSE digits - 1 .. 0 LOOP
        xs[1] := bx;
        ys[1] := bb;
        products[1] := 1;
        -- mdbl-2008-s-1
        a := 2 * bb;
        zz := mod(a * a, p);
        zzz := mod(a * zz, p);
        q := mod(bx * zz, p);
        b := mod(3 * (bx * bx - 1), p);
        x := mod(b * b - 2 * q, p);
        y := mod(b * (q - x) - zzz * bb, p);
        FOR i IN 2 .. 100 LOOP
            IF i > 2 THEN
                a := bx * zz - x;
                a := a - trunc(trunc(a, cut) * reciprocal) * p;
                b := bb * zzz - y;
                b := b - trunc(trunc(b, cut) * reciprocal) * p;
                aa := a * a;
                aa := aa - trunc(trunc(aa, cut) * reciprocal) * p;
                aaa := a * aa;
                aaa := aaa - trunc(trunc(aaa, cut) * reciprocal) * p;
                q := x * aa;
                q := q - trunc(trunc(q, cut) * reciprocal) * p;
                x := b * b - aaa - 2 * q;
                x := x - trunc(trunc(x, cut) * reciprocal) * p;
                y := b * (q - x) - y * aaa;
                y := y - trunc(trunc(y, cut) * reciprocal) * p;
                zz := zz * aa;
                zz := zz - trunc(trunc(zz, cut) * reciprocal) * p;
                zzz := zzz * aaa;
                zzz := zzz - trunc(trunc(zzz, cut) * reciprocal) * p;
            END IF;
            xs[i] := x;
            ys[i] := y;
            zzs[i] := zz;
            zzzs[i] := zzz;
            a := products[i - 1] * zzz;
            products[i] := a - trunc(trunc(a, cut) * reciprocal) * p;
        END LOOP;
        -- One inverse for all of them: Montgomery's trick.
        q := jwtrole._inverse(products[100], p);
        FOR i IN REVERSE 100 .. 2 LOOP
            a := q * products[i - 1];
            a := a - trunc(trunc(a, cut) * reciprocal) * p;
            q := q * zzzs[i];
            q := q - trunc(trunc(q, cut) * reciprocal) * p;
            b := a * zzs[i];
            b := b - trunc(trunc(b, cut) * reciprocal) * p;
            b := b * b;
            b := b - trunc(trunc(b, cut) * reciprocal) * p;
            x := mod(xs[i] * b, p);
            y := mod(ys[i] * a, p);
            xs[i] := CASE WHEN x < 0 THEN x + p ELSE x END;
            ys[i] := CASE WHEN y < 0 THEN y + p ELSE y END;
        END LOOP;
        INSERT INTO jwtrole.point (spot, x, y)
        SELECT target * 10000 + spare * 100 + u.i, u.x, u.y
        FROM unnest(xs[1:99], ys[1:99]) WITH ORDINALITY AS u (x, y, i);
        bx := xs[100];
        bb := ys[100];
    END LOOP;
END
$body$
-- //
CREATE FUNCTION jwtrole._reciprocal(modulus numeric) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    places integer := 2 * length(modulus::text) + 12;
BEGIN
    -- Exact but for what is cut off after so many decimal places.
    RETURN div(('1' || repeat('0', places))::numeric, modulus)
         * ('0.' || repeat('0', places - 1) || '1')::numeric;
END
$body$
-- //
CREATE FUNCTION jwtrole._edwards_multiples(
    target integer, px numeric, py numeric, p numeric, digits integer) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    d2 numeric :=
        16295367250680780974490674513165176452449235426866156013048779062215315747161;
    bx numeric := px;
    bb numeric := py;
    x numeric;
    y numeric;
    z numeric;
    t numeric;
    plus numeric;
    minus numeric;
    double numeric;
    a numeric;
    b numeric;
    c numeric;
    e numeric;
    h numeric;
    xs numeric[];
    ys numeric[];
    zs numeric[];
    products numeric[];
BEGIN
    FOR spare IN REVERSE digits - 1 .. 0 LOOP
        x := bx;
        y := bb;
        z := 1;
        t := mod(x * y, p);
        plus := y + x;
        minus := y - x;
        double := mod(d2 * t, p);
        xs[1] := x;
        ys[1] := y;
        products[1] := 1;
        FOR i IN 2 .. 100 LOOP
            a := (y - x) * minus;
            b := (y + x) * plus;
            c := mod(t * double, p);
            e := mod(b - a, p);
            h := mod(b + a, p);
            a := 2 * z - c;
            b := 2 * z + c;
            x := mod(e * a, p);
            y := mod(b * h, p);
            t := mod(e * h, p);
            z := mod(a * b, p);
            xs[i] := x;
            ys[i] := y;
            zs[i] := z;
            products[i] := mod(products[i - 1] * z, p);
        END LOOP;
        a := jwtrole._inverse(products[100], p);
        FOR i IN REVERSE 100 .. 2 LOOP
            b := mod(a * products[i - 1], p);
            a := mod(a * zs[i], p);
            xs[i] := mod(mod(xs[i] * b, p) + p, p);
            ys[i] := mod(mod(ys[i] * b, p) + p, p);
        END LOOP;
        INSERT INTO jwtrole.point (spot, x, y, z)
        SELECT target * 10000 + spare * 100 + u.i, mod(u.y + u.x, p),
               mod(u.y - u.x + p, p), mod(d2 * mod(u.x * u.y, p), p)
        FROM unnest(xs[1:99], ys[1:99]) WITH ORDINALITY AS u (x, y, i);
        bx := xs[100];
        bb := ys[100];
    END LOOP;
END
$body$
-- //
CREATE FUNCTION jwtrole._power(base numeric, exponent numeric, modulus numeric)
RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    square numeric := base;
    rest numeric := exponent;
    found numeric := 1;
BEGIN
    WHILE rest > 0 LOOP
        IF mod(rest, 2) = 1 THEN
            found := mod(found * square, modulus);
        END IF;
        square := mod(square * square, modulus);
        rest := div(rest, 2);
    END LOOP;
    RETURN found;
END
$body$
-- //
CREATE FUNCTION jwtrole._edwards_point(octets bytea, OUT x numeric, OUT y numeric)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    p numeric :=
        57896044618658097711785492504343953926634992332820282019728792003956564819949;
    d numeric :=
        37095705934669439343138083508754565189542113879843219016388785533085940283555;
    sign numeric;
    square numeric;
BEGIN
    -- RFC 8032, section 5.1.3; NULL is no point.
    y := jwtrole._little(octets);
    sign := div(y, p + 19);
    y := mod(y, p + 19);
    IF y < p THEN
        square := mod((y * y - 1 + p)
                      * jwtrole._inverse(d * mod(y * y, p) + 1, p), p);
        x := jwtrole._power(square, (p + 3) / 8, p);
        IF mod(x * x - square, p) <> 0 THEN
            x := mod(x * jwtrole._power(2, (p - 1) / 4, p), p);
        END IF;
        IF mod(x * x - square, p) = 0 AND NOT (x = 0 AND sign = 1) THEN
            x := CASE WHEN mod(x, 2) = sign THEN x ELSE p - x END;
            RETURN;
        END IF;
    END IF;
    x := NULL;
    y := NULL;
END
$body$
-- //
CREATE FUNCTION jwtrole._forget_points() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    DELETE FROM jwtrole.point AS o
    WHERE o.spot BETWEEN OLD.number * 10000 AND OLD.number * 10000 + 9999;
    RETURN NULL;
END
$body$
-- //
CREATE TRIGGER forget_points AFTER DELETE ON jwtrole.key
FOR EACH ROW EXECUTE FUNCTION jwtrole._forget_points()
-- //
CREATE FUNCTION jwtrole.add_key(issuer text, jwk jsonb, any_kid boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    kty text := jwk ->> 'kty';
    k jwtrole.key;
    c jwtrole.curve;
    problem text;
    a bytea;
    b bytea;
    pad bytea;
    x numeric;
    y numeric;
BEGIN
    UPDATE jwtrole.issuer AS i SET generation = i.generation + 1
    WHERE i.name = add_key.issuer;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'There is no issuer ' || coalesce(quote_literal(issuer), 'NULL'),
            HINT = 'Declare it with jwtrole.trust() first.';
    END IF;
    k.issuer := issuer;
    k.kid := jwk ->> 'kid';
    k.alg := jwk ->> 'alg';
    problem := CASE
        WHEN jwk IS NULL OR jsonb_typeof(jwk) <> 'object' OR any_kid IS NULL THEN
            'is no object (RFC 7517, section 4)'
        WHEN jsonb_exists(jwk, 'kid')
             AND (jsonb_typeof(jwk -> 'kid') <> 'string'
                  OR NOT jwtrole._is_kid(k.kid)) THEN
            'has a kid that is no printable string of 1 to 256 characters'
        WHEN jsonb_exists_any(jwk, ARRAY['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth']) THEN
            'is a private key: keep it away and give its public half'
        WHEN coalesce(jwk -> 'use', '"sig"') <> '"sig"' THEN
            'is not for signatures: its use is not sig (RFC 7517, section 4.2)'
        WHEN jsonb_typeof(coalesce(jwk -> 'key_ops', '["verify"]')) <> 'array'
             OR NOT coalesce(jwk -> 'key_ops', '["verify"]') @> '["verify"]' THEN
            'is not for verifying: its key_ops lack verify (RFC 7517, section 4.3)'
        WHEN jsonb_typeof(jwk -> 'kty') IS DISTINCT FROM 'string'
             OR kty NOT IN ('oct', 'RSA', 'EC', 'OKP') THEN
            'has a kty that is none of oct, RSA, EC and OKP'
        WHEN coalesce(jsonb_typeof(jwk -> 'alg'), 'string') <> 'string' THEN
            'has an alg that is no string'
        END;
    IF problem IS NULL AND kty IN ('EC', 'OKP') THEN
        -- The row is locked: one session alone computes what all its keys share.
        SELECT * INTO c FROM jwtrole.curve AS o
        WHERE o.name = jwk ->> 'crv' AND jsonb_typeof(jwk -> 'crv') = 'string'
          AND (o.name = 'Ed25519') = (kty = 'OKP') FOR UPDATE;
        k.alg := coalesce(k.alg, c.alg);
        problem := CASE WHEN c.name IS NULL THEN
            'has a crv that is none of P-256, P-384, P-521 (EC) and Ed25519 (OKP)' END;
    END IF;
    IF problem IS NULL AND (CASE kty
            WHEN 'oct' THEN k.alg IN ('HS256', 'HS384', 'HS512')
            WHEN 'RSA' THEN k.alg IN (
                'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512')
            ELSE k.alg = c.alg END) IS NOT TRUE THEN
        problem := 'has no alg, or one that is not for its kind of key';
    END IF;
    k.hash := CASE right(k.alg, 3) WHEN '256' THEN 32 WHEN '384' THEN 48 ELSE 64 END;
    IF problem IS NULL THEN
        a := jwtrole._octets(CASE WHEN jsonb_typeof(jwk -> m.name) = 'string'
                             THEN jwk ->> m.name END)
        FROM (SELECT CASE kty WHEN 'oct' THEN 'k' WHEN 'RSA' THEN 'n' ELSE 'x' END)
            AS m (name);
        b := jwtrole._octets(CASE WHEN jsonb_typeof(jwk -> m.name) = 'string'
                             THEN jwk ->> m.name END)
        FROM (SELECT CASE kty WHEN 'RSA' THEN 'e' WHEN 'EC' THEN 'y' END) AS m (name);
        IF a IS NULL OR (b IS NULL AND kty IN ('RSA', 'EC')) THEN
            problem := 'lacks a number, or holds it in no canonical base64url';
        END IF;
    END IF;
    IF problem IS NULL AND kty = 'oct' THEN
        -- RFC 7518, section 3.2; RFC 8725, section 2.1.
        problem := CASE WHEN length(a) < k.hash THEN
                'has ' || length(a) || ' bytes: ' || k.alg || ' needs ' || k.hash
            WHEN position('-----BEGIN '::bytea IN a) > 0
                 OR substr(a, 1, 4) = 'ssh-'::bytea
                 OR substr(a, 1, 11) = 'ecdsa-sha2-'::bytea THEN
                'is a public key or a certificate, no secret' END;
        pad := CASE WHEN length(a) <= CASE k.hash WHEN 32 THEN 64 ELSE 128 END THEN a
            WHEN k.hash = 32 THEN sha256(a) WHEN k.hash = 48 THEN sha384(a)
            ELSE sha512(a) END;
        pad := pad || decode(repeat('00',
            CASE k.hash WHEN 32 THEN 64 ELSE 128 END - length(pad)), 'hex');
        k.inner_pad := pad;
        k.outer_pad := pad;
        FOR i IN 0 .. length(pad) - 1 LOOP
            k.inner_pad := set_byte(k.inner_pad, i, get_byte(pad, i) # 54);
            k.outer_pad := set_byte(k.outer_pad, i, get_byte(pad, i) # 92);
        END LOOP;
        k.thumbprint := '{"k":"' || (jwk ->> 'k') || '","kty":"oct"}';
    ELSIF problem IS NULL AND kty = 'RSA' THEN
        a := ltrim(a, decode('00', 'hex'));
        k.size := length(a);
        -- to_hex of the first byte would have no leading zero bits either.
        k.bits := 8 * k.size - 8 + length(ltrim(get_byte(a || decode('00', 'hex'), 0)
                                                ::bit(8)::text, '0'));
        IF k.bits BETWEEN 2048 AND 4096 THEN
            k.n := jwtrole._number(a);
        END IF;
        problem := CASE
            WHEN k.n IS NULL THEN
                'has ' || k.bits || ' bits: RSA takes 2048 to 4096'
            WHEN length(b) > 8 OR jwtrole._number(b) <> 65537 THEN
                'has another exponent than 65537'
            WHEN EXISTS (SELECT FROM generate_series(2, 1000) AS s (small)
                         WHERE mod(k.n, small) = 0) THEN
                'has a modulus with a small factor' END;
        IF problem IS NULL THEN
            k.cut := 2 - length(k.n::text);
            k.reciprocal := jwtrole._reciprocal(k.n);
            k.unit := jwtrole._number(decode('01' || repeat('00', k.hash), 'hex'));
            -- RFC 8017, section 9.2 and its notes; for PSS the bound of section 9.1.2.
            k.encoded := jwtrole._number(decode(
                CASE WHEN k.alg LIKE 'RS%' THEN
                    '0001' || repeat('ff', k.size - k.hash - 22) || '00'
                    || CASE k.hash
                       WHEN 32 THEN '3031300d060960864801650304020105000420'
                       WHEN 48 THEN '3041300d060960864801650304020205000430'
                       ELSE '3051300d060960864801650304020305000440' END
                    || repeat('00', k.hash)
                ELSE lpad(to_hex(1 << ((k.bits - 1) % 8)), 2, '0')
                    || repeat('00', (k.bits - 1) / 8) END, 'hex'));
            k.thumbprint := '{"e":"AQAB","kty":"RSA","n":"' || rtrim(translate(encode(
                a, 'base64'), '+/' || chr(10), '-_'), '=') || '"}';
        END IF;
    ELSIF problem IS NULL THEN
        k.size := c.size;
        k.digits := c.digits;
        k.base_number := c.number;
        k.p := c.p;
        k.n := c.n;
        IF kty = 'OKP' AND length(a) = 32 THEN
            k.public := a;
            SELECT p.x, p.y INTO x, y FROM jwtrole._edwards_point(a) AS p;
            k.thumbprint := '{"crv":"Ed25519","kty":"OKP","x":"' || (jwk ->> 'x')
                || '"}';
        ELSIF kty = 'EC' AND length(a) = c.size AND length(b) = c.size THEN
            x := jwtrole._number(a);
            y := jwtrole._number(b);
            IF x >= c.p OR y >= c.p
               OR mod(y * y - x * x * x + 3 * x - c.b, c.p) <> 0 THEN
                x := NULL;
            END IF;
            k.thumbprint := '{"crv":"' || c.name || '","kty":"EC","x":"'
                || (jwk ->> 'x') || '","y":"' || (jwk ->> 'y') || '"}';
        END IF;
        problem := CASE WHEN x IS NULL THEN 'holds no point of its curve' END;
    END IF;
    IF problem IS NULL THEN
        -- RFC 7638
        k.thumbprint := rtrim(translate(encode(sha256(convert_to(
            k.thumbprint, 'UTF8')), 'base64'), '+/', '-_'), '=');
        k.kid_rule := CASE WHEN any_kid THEN 'any' WHEN k.kid IS NULL THEN 'unnamed'
                      ELSE 'named' END;
        k.kid := coalesce(k.kid, k.thumbprint);
        problem := CASE
            WHEN EXISTS (SELECT FROM jwtrole.key AS o WHERE o.issuer = k.issuer
                         AND o.kid = k.kid AND o.alg = k.alg) THEN
                'is there already with this alg: retire it first'
            WHEN EXISTS (SELECT FROM jwtrole.key AS o WHERE o.issuer = k.issuer
                         AND (o.alg LIKE 'HS%') <> (kty = 'oct')) THEN
                'mixes secrets and public keys in one issuer (RFC 8725, section 2.1)'
            END;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'The JWK ' || coalesce(quote_literal(left(k.kid, 256)),
                                             'without a kid') || ' ' || problem,
            HINT = 'Give another key, or leave this one out.';
    END IF;
    INSERT INTO jwtrole.key (
        issuer, kid, alg, kid_rule, thumbprint, hash, bits, size, inner_pad, outer_pad,
        n, reciprocal, cut, encoded, unit, digits, base_number, p, public)
    VALUES (
        k.issuer, k.kid, k.alg, k.kid_rule, k.thumbprint, k.hash, k.bits, k.size,
        k.inner_pad, k.outer_pad, k.n, k.reciprocal, k.cut, k.encoded, k.unit,
        k.digits, k.base_number, k.p, k.public)
    RETURNING number INTO k.number;
    IF c.name IS NOT NULL THEN
        PERFORM jwtrole._add_points(k, c, x, y);
    END IF;
    RETURN k.kid;
END
$body$
-- //
CREATE FUNCTION jwtrole._add_points(
    k jwtrole.key, c jwtrole.curve, x numeric, y numeric) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
DECLARE
    missing boolean := NOT EXISTS (
        SELECT FROM jwtrole.point AS o WHERE o.spot = c.number * 10000 + 1);
    found record;
BEGIN
    IF c.name <> 'Ed25519' THEN
        IF missing THEN
            PERFORM jwtrole._multiples(c.number, c.x, c.y, c.p, c.digits);
        END IF;
        PERFORM jwtrole._multiples(k.number, x, y, c.p, c.digits);
        RETURN;
    END IF;
    IF missing THEN
        PERFORM jwtrole._edwards_multiples(c.number, c.x, c.y, c.p, c.digits);
    END IF;
    -- Of -A, as the equation is solved for R.
    PERFORM jwtrole._edwards_multiples(k.number, c.p - x, y, c.p, c.digits);
    SELECT * INTO found FROM jwtrole._edwards_sum(k, convert_to(
        repeat('0', 2 * c.digits) || lpad(c.n::text, 2 * c.digits, '0'), 'UTF8'));
    IF y = 1 OR mod(found.x, c.p) <> 0 OR mod(found.y - found.z, c.p) <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'The JWK ' || quote_literal(k.kid)
                || ' holds a point outside the group of prime order (RFC 8032)',
            HINT = 'No honest issuer makes such a key: ask where it comes from.';
    END IF;
END
$body$
-- //
CREATE FUNCTION jwtrole.retire_key(issuer text, kid text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $body$
BEGIN
    DELETE FROM jwtrole.key AS k
    WHERE k.issuer = retire_key.issuer AND k.kid = retire_key.kid;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE jwtrole.issuer AS i SET generation = i.generation + 1
    WHERE i.name = retire_key.issuer;
    RETURN true;
END
$body$
-- //
REVOKE ALL ON TABLE jwtrole.issuer FROM PUBLIC
-- //
ALTER TABLE jwtrole.issuer OWNER TO jwtrole_owner
-- //
REVOKE ALL ON TABLE jwtrole.curve FROM PUBLIC
-- //
ALTER TABLE jwtrole.curve OWNER TO jwtrole_owner
-- //
REVOKE ALL ON TABLE jwtrole.key FROM PUBLIC
-- //
ALTER TABLE jwtrole.key OWNER TO jwtrole_owner
-- //
REVOKE ALL ON TABLE jwtrole.point FROM PUBLIC
-- //
ALTER TABLE jwtrole.point OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._octets(text) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._octets(text) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._number(bytea) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._number(bytea) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._little(bytea) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._little(bytea) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._hex(numeric, integer) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._hex(numeric, integer) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._inverse(numeric, numeric) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._inverse(numeric, numeric) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._ecdsa(jwtrole.key, bytea, bytea) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._ecdsa(jwtrole.key, bytea, bytea) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._edwards_sum(jwtrole.key, bytea) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._edwards_sum(jwtrole.key, bytea) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._eddsa(jwtrole.key, bytea, bytea) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._eddsa(jwtrole.key, bytea, bytea) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._signed_by(jwtrole.key, bytea, bytea) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._signed_by(jwtrole.key, bytea, bytea) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._verified(text) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._verified(text) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._is_kid(text) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._is_kid(text) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._multiples(integer, numeric, numeric, numeric, integer)
    FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._multiples(integer, numeric, numeric, numeric, integer)
    OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._reciprocal(numeric) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._reciprocal(numeric) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION
    jwtrole._edwards_multiples(integer, numeric, numeric, numeric, integer)
    FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._edwards_multiples(integer, numeric, numeric, numeric, integer)
    OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._power(numeric, numeric, numeric) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._power(numeric, numeric, numeric) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._edwards_point(bytea) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._edwards_point(bytea) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._forget_points() FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._forget_points() OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole.add_key(text, jsonb, boolean) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole.add_key(text, jsonb, boolean) OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole._add_points(jwtrole.key, jwtrole.curve, numeric, numeric)
    FROM PUBLIC
-- //
ALTER FUNCTION jwtrole._add_points(jwtrole.key, jwtrole.curve, numeric, numeric)
    OWNER TO jwtrole_owner
-- //
REVOKE ALL ON FUNCTION jwtrole.retire_key(text, text) FROM PUBLIC
-- //
ALTER FUNCTION jwtrole.retire_key(text, text) OWNER TO jwtrole_owner
