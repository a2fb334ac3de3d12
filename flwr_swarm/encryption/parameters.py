"""The ring: its constants, what they are worth, and the bound on the noise of an opened sum."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

from flwr_swarm._exceptions import ConfigurationError

DEGREE: Final = 4096
MODULUS: Final = 1152921504606830593
"""q = 2^60 - 2^14 + 1, prime, 1 mod 2N: SEAL's table gives N = 4096 up to 75 bits at 192-bit."""
MODULUS_BITS: Final = 60
ETA: Final = 42
"""Errors are centred binomial: 84 coins, variance 21, |e| <= 42."""
MAX_MEMBERS: Final = 256
SMALLEST_SUM: Final = 3
"""Members in a sum that is opened. Of two, each would learn the other's update from it."""
_TAIL_EXPONENT: Final = 128
"""A noise check may refuse an honest coefficient with probability 2^-128 at most."""


@dataclass(frozen=True, kw_only=True)
class RingParameters:
    """How lanes of integers become one coefficient of R_q = Z_q[X]/(X^4096 + 1).

    Parameters
    ----------
    plain_modulus : int
        t; a coefficient carries an integer below it. A prime, 1 mod 8192, makes ciphertexts
        that TenSEAL's stock BFV vectors can batch-decode; 2^48 is denser.
    lane_bits : int
        Bits of one lane, its headroom for the sum included.
    lanes : int
        Lanes in a coefficient.

    Raises
    ------
    ConfigurationError
        If the lanes do not fit below t, or t leaves no room for the noise.
    """

    plain_modulus: int = 1 << 48
    lane_bits: int = 24
    lanes: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot decrypt."""
        if not 1 <= self.lane_bits <= 32 or self.lanes < 1:
            raise ConfigurationError(
                f"lanes must be 1 or more of 1 to 32 bits, got {self.lanes} of {self.lane_bits}"
            )
        if 1 << (self.lane_bits * self.lanes) > self.plain_modulus:
            raise ConfigurationError(
                f"{self.lanes} lanes of {self.lane_bits} bits do not fit below "
                f"t = {self.plain_modulus}; use fewer or narrower lanes"
            )
        if self.noise_bound(1) >= self.half_step or self.half_step < 1:
            raise ConfigurationError(
                f"t = {self.plain_modulus} leaves no room for noise; choose t <= 2^48"
            )
        if abs(self.remainder) * self.plain_modulus >= 1 << 62:
            raise ConfigurationError(
                f"t = {self.plain_modulus} cannot be scaled in 64-bit integers; "
                "choose 2^48 or a modulus below 2^31"
            )

    @property
    def step(self) -> int:
        """q/t to the nearest integer: the distance between two neighbouring messages."""
        return (MODULUS + self.plain_modulus // 2) // self.plain_modulus

    @property
    def remainder(self) -> int:
        """Signed q - step*t, so that q*m/t = step*m + remainder*m/t."""
        return MODULUS - self.step * self.plain_modulus

    @property
    def half_step(self) -> int:
        """floor(q/2t): noise at or above it would change a message."""
        return MODULUS // (2 * self.plain_modulus)

    @property
    def lanes_per_chunk(self) -> int:
        """Lanes in one polynomial."""
        return DEGREE * self.lanes

    @property
    def tag(self) -> bytes:
        """Eight bytes that name these numbers on the wire."""
        text = f"flwr_swarm/v1/ring {self.to_terms()}"
        return hashlib.sha256(text.encode()).digest()[:8]

    def chunks(self, lanes: int) -> int:
        """Polynomials that `lanes` lanes take; two at least, of which a short update fills one.

        A holder that shifts its opening shifts the key of the sum by any d it likes. With one
        polynomial it could choose a*d = q/t * m, which moves the message by m without any noise.
        With two, a_1*d and a_2*d would both have to lie that near to multiples of q/t.
        """
        return max(2, -(-lanes // self.lanes_per_chunk))

    def noise_bound(self, included: int) -> int:
        """Largest |noise| of a coefficient in an honest sum of `included` ciphertexts.

        The smaller of the certain bound, eta a member, and of Hoeffding's for the sum of
        84*included fair coins, 2*exp(-2x^2/(84*included)) <= 2^-128; plus one half a member, and
        one, for the rounding of q*m/t. With t = 2^48 it stays below q/2t = 2048 up to 256 members.
        """
        tail = math.sqrt(ETA * included * math.log(2) * (_TAIL_EXPONENT + 1))
        return min(ETA * included, math.ceil(tail)) + included // 2 + 2

    def to_terms(self) -> dict[str, int]:
        """Public numbers, for the hash of the terms that all members share."""
        return {
            "degree": DEGREE,
            "modulus": MODULUS,
            "plain_modulus": self.plain_modulus,
            "lane_bits": self.lane_bits,
            "lanes": self.lanes,
            "eta": ETA,
        }


DEFAULT: Final = RingParameters()
"""t = 2^48: two 24-bit lanes in a coefficient."""
KEYS: Final = DEFAULT
"""What names the ring in shares, proofs, openings and complaints, whatever lanes they open.

They hold elements of R_q and no message, so all precisions share them: a complaint can be read
whatever terms were enacted since.
"""
