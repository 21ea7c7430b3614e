"""Signatures by Ed25519 (RFC 8032), which Python's standard library lacks. Only signing, by the own key."""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
IDENTITY = (0, 1, 1, 0)


def add(p, q):
    """The sum of two points in extended coordinates."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = (b - a) % P, (d - c) % P, (d + c) % P, (b + a) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def base_point():
    y = 4 * pow(5, P - 2, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x % 2:
        x = P - x
    return x, y, 1, x * y % P


def doublings(point):
    found = []
    for _ in range(256):
        found.append(point)
        point = add(point, point)
    return found


POWERS = doublings(base_point())


def base_times(scalar):
    """The base point, `scalar` times, compressed to 32 bytes."""
    point = IDENTITY
    for power in POWERS:
        if scalar & 1:
            point = add(point, power)
        scalar >>= 1
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def hashed(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def expand(secret):
    """The scalar and the prefix of a secret of 32 bytes."""
    digest = hashlib.sha512(secret).digest()
    scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
    return scalar, digest[32:]


def public_key(secret):
    """The public key of a secret: 32 bytes each."""
    return base_times(expand(secret)[0])


def sign(secret, public, message):
    """The signature of a message: 64 bytes."""
    scalar, prefix = expand(secret)
    nonce = hashed(prefix, message) % ORDER
    commitment = base_times(nonce)
    proof = (nonce + hashed(commitment, public, message) * scalar) % ORDER
    return commitment + proof.to_bytes(32, "little")
