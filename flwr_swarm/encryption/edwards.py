"""Points of edwards25519 (RFC 8032, section 6), in plain Python: for proofs about X25519 keys.

Off the happy path only. Multiplications take the same steps whatever the scalar, but Python's
integers do not take the same time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

P: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""L, the order of the base point. The whole curve has 8*L points."""
_D: Final = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_ONE: Final = pow(2, (P - 1) // 4, P)
_SCALAR_BITS: Final = 256


@dataclass(frozen=True, eq=False)
class Point:
    """A point in extended coordinates: x = X/Z, y = Y/Z, x*y = T/Z."""

    X: int
    Y: int
    Z: int
    T: int

    def __add__(self, other: Point) -> Point:
        """The sum; the formula holds for any two points."""
        a = (self.Y - self.X) * (other.Y - other.X) % P
        b = (self.Y + self.X) * (other.Y + other.X) % P
        c = 2 * self.T * other.T * _D % P
        d = 2 * self.Z * other.Z % P
        e, f, g, h = b - a, d - c, d + c, b + a
        return Point(e * f % P, g * h % P, f * g % P, e * h % P)

    def __neg__(self) -> Point:
        """The point that adds up to the neutral one."""
        return Point(-self.X % P, self.Y, self.Z, -self.T % P)

    def __eq__(self, other: object) -> bool:
        """Equal as points, whatever their coordinates."""
        if not isinstance(other, Point):
            return NotImplemented
        same_x = (self.X * other.Z - other.X * self.Z) % P == 0
        return same_x and (self.Y * other.Z - other.Y * self.Z) % P == 0

    __hash__ = None  # type: ignore[assignment]

    def __rmul__(self, scalar: int) -> Point:
        """`scalar` times the point, 0 <= scalar < 2^256, by a ladder of fixed length."""
        low, high = NEUTRAL, self
        for bit in reversed(range(_SCALAR_BITS)):
            if scalar >> bit & 1:
                low, high = low + high, high + high
            else:
                low, high = low + low, low + high
        return low

    def times_eight(self) -> Point:
        """The point's part in the group of order L, times eight."""
        double = self + self
        quadruple = double + double
        return quadruple + quadruple

    def of_order_l(self) -> bool:
        """Whether it is in the group of prime order L, and not neutral."""
        return self != NEUTRAL and ORDER * self == NEUTRAL

    def encode(self) -> bytes:
        """32 bytes: y, and the sign of x in the highest bit."""
        inverse = pow(self.Z, -1, P)
        x, y = self.X * inverse % P, self.Y * inverse % P
        return (y | (x & 1) << 255).to_bytes(32, "little")

    def montgomery(self) -> bytes:
        """The 32 bytes of its X25519 coordinate u = (1 + y)/(1 - y)."""
        return ((self.Z + self.Y) * pow(self.Z - self.Y, -1, P) % P).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point with this encoding; None if there is none, or it has another encoding."""
    value = int.from_bytes(data, "little")
    y, sign = value & ((1 << 255) - 1), value >> 255
    if len(data) != 32 or y >= P:
        return None
    # x^2 = (y^2 - 1) / (d*y^2 + 1)
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return Point(x, y, 1, x * y % P)


def lifted(u: bytes) -> Point | None:
    """The point with this X25519 coordinate and an even x; None if it is on the twist.

    A coordinate that is not below 2^255 - 19 has none either: nobody who follows the protocol
    sends one.
    """
    value = int.from_bytes(u, "little")
    if len(u) != 32 or value >= P or value == P - 1:
        return None
    y = (value - 1) * pow(value + 1, -1, P) % P
    return decode(y.to_bytes(32, "little"))


def montgomery_of(encoded: bytes) -> bytes | None:
    """The X25519 coordinate of an encoded point, without a look whether it is on the curve."""
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y >= P or y == 1:
        return None
    return ((1 + y) * pow(1 - y, -1, P) % P).to_bytes(32, "little")


def x25519_scalar(private_key: bytes) -> int:
    """The integer, a multiple of eight, by which X25519 multiplies."""
    value = int.from_bytes(private_key, "little")
    return value & ((1 << 254) - 8) | 1 << 254


def signing_scalar(seed: bytes) -> bytes:
    """The X25519 private key with the same point as the Ed25519 key of this seed (RFC 8032)."""
    return hashlib.sha512(seed).digest()[:32]


NEUTRAL: Final = Point(0, 1, 1, 0)


def _base() -> Point:
    point = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None  # noqa: S101 - a constant
    return point


BASE: Final = _base()
