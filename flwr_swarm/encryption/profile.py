"""Precision: how many bits a value has, and what lanes of the ring that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from flwr_swarm._exceptions import ConfigurationError

from .dense import POLYNOMIAL_BYTES
from .parameters import DEGREE, MAX_MEMBERS, RingParameters

Precision = Literal[8, 12, 16, 24]
"""Bits that a member's value has at least."""
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
DEFAULT_PRECISION: Final[Precision] = 16

_LAYOUTS: Final[dict[Precision, tuple[tuple[int, int], ...]]] = {
    8: ((4, 12), (3, 16)),
    12: ((3, 16), (2, 24)),
    16: ((2, 24),),
    24: ((1, 32),),
}
"""Lanes in a coefficient and bits of one: for few members, and where they are too many for that."""
_LONGEST_LIMB: Final = 16


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How one member's values lie in a coefficient, for so many bits and so many members.

    The lane of a sum has room for a value of each member: its bits, and ceil(log2(members)) more.
    Values fill what the lane leaves them, so that `value_bits` may be more than was asked.

    Parameters
    ----------
    bits : {8, 12, 16, 24}
    members : int
        Most members that can be in one sum, 1 to 256.

    Raises
    ------
    ConfigurationError
        If there is no such precision, or no room for so many members.
    """

    bits: Precision = DEFAULT_PRECISION
    members: int

    def __post_init__(self) -> None:
        if type(self.bits) is not int or self.bits not in PRECISIONS:
            raise ConfigurationError(
                f"precision must be one of {', '.join(map(str, PRECISIONS))} (bits of a value), "
                f"got {self.bits!r}"
            )
        if not 1 <= self.members <= MAX_MEMBERS:
            raise ConfigurationError(
                f"members must be 1 to {MAX_MEMBERS}, got {self.members}; more exceed the noise "
                "bound of a sum at every precision, so split the consortium"
            )

    @property
    def ring(self) -> RingParameters:
        """Lanes of the ring, and t just above them."""
        lanes, lane_bits = next(
            (lanes, width)
            for lanes, width in _LAYOUTS[self.bits]
            if width - self.headroom_bits >= self.bits
        )
        return RingParameters(
            plain_modulus=1 << (lanes * lane_bits), lane_bits=lane_bits, lanes=lanes
        )

    @property
    def headroom_bits(self) -> int:
        """Bits of a lane that are kept free for the sum."""
        return (self.members - 1).bit_length()

    @property
    def value_bits(self) -> int:
        """Bits of one member's lane for an entry: `bits` or more."""
        return self.ring.lane_bits - self.headroom_bits

    @property
    def levels(self) -> int:
        """L: entries are integers from -L to L, offset by L."""
        return (1 << (self.value_bits - 1)) - 1

    @property
    def limb_bits(self) -> int:
        """Bits of one lane's part of a weight or a metric, which take several lanes."""
        return min(_LONGEST_LIMB, self.value_bits)

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of a ciphertext for each entry, of a model that fills its last polynomial."""
        return POLYNOMIAL_BYTES / (DEGREE * self.ring.lanes)
