"""Ed25519 in plain integers (RFC 8032), for vectors that no library would make.

Shares no code with what it tests. Slow, and not constant in time: for tests only.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

# Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x * y = T/Z.
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def equal(p: Point, q: Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def encode(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point, also of an encoding with y >= p or a sign for x = 0; None if off the curve."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number % 2**255 % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (v * x * x - u) % P:
        return None
    if x & 1 != sign:
        x = -x % P
    return x, y, 1, x * y % P


def _base() -> Point:
    point = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None
    return point


def _torsion() -> tuple[Point, ...]:
    """The eight points of small order: multiples of one of order 8."""
    y = 2
    while True:
        point = decode(y.to_bytes(32, "little"))
        candidate = IDENTITY if point is None else multiply(L, point)
        if not equal(multiply(4, candidate), IDENTITY):
            return tuple(multiply(index, candidate) for index in range(8))
        y += 1


BASE = _base()
TORSION = _torsion()


def small_order_encodings() -> list[bytes]:
    """All spellings of the eight points: both signs where x = 0, y + p where that fits."""
    found = set()
    for point in TORSION:
        canonical = encode(point)
        y = int.from_bytes(canonical, "little") % 2**255
        for spelling in (y, y + P):
            for sign in (0, 1):
                if spelling < 2**255 and (point[0] == 0 or canonical[31] >> 7 == sign):
                    found.add((spelling | sign << 255).to_bytes(32, "little"))
    return sorted(found)


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def secret_scalar(seed: bytes) -> int:
    number = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return number & (2**254 - 8) | 2**254


def public_key(seed: bytes) -> bytes:
    return encode(multiply(secret_scalar(seed), BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    public, nonce = public_key(seed), hashlib.sha512(seed).digest()[32:]
    r = int.from_bytes(hashlib.sha512(nonce + message).digest(), "little") % L
    commitment = encode(multiply(r, BASE))
    s = (r + challenge(commitment, public, message) * secret_scalar(seed)) % L
    return commitment + s.to_bytes(32, "little")


def holds(a: bytes, r: bytes, s: int, message: bytes) -> bool:
    """The cofactorless equation: S B - h A, encoded, has the bytes of R."""
    point = decode(a)
    if point is None:
        return False
    minus_a = (-point[0] % P, point[1], point[2], -point[3] % P)
    found = add(multiply(s, BASE), multiply(challenge(r, a, message), minus_a))
    return encode(found) == r


def expected(a: bytes, signature: bytes, message: bytes) -> str:
    """The verdict of the strict rule, by its text: a code, or "ok"."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    small = small_order_encodings()
    if len(signature) != 64 or len(a) != 32:
        return "bad_length"
    if s >= L:
        return "bad_signature"
    if int.from_bytes(a, "little") % 2**255 >= P or a in small:
        return "bad_key"
    if r in small or not holds(a, r, s, message):
        return "bad_signature"
    return "ok"
