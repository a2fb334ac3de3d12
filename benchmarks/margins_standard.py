"""The table of the homomorphic-encryption standard: largest log2 q for a ring and a level.

Albrecht, Chase, Chen, Ding, Goldwasser, Gorbunov, Halevi, Hoffstein, Laine, Lauter, Lokam,
Micciancio, Moody, Morrison, Sahai, Vaikuntanathan: "Homomorphic Encryption Security Standard",
HomomorphicEncryption.org, Toronto, November 2018, tables 1 and 2. Errors are Gaussian with
sigma = 8/sqrt(2*pi), about 3.19; "classical" costs lattice reduction by BKZ.sieve, "quantum" by
BKZ.qsieve. The rows for ternary secrets are those that SEAL checks.
"""

from __future__ import annotations

import math
from typing import Final, Literal

Secret = Literal["uniform", "error", "ternary"]
Attacker = Literal["classical", "quantum"]

SIGMA: Final = 8 / math.sqrt(2 * math.pi)
LEVELS: Final = (128, 192, 256)
DEGREES: Final = (1024, 2048, 4096, 8192, 16384, 32768)

_ROWS: Final[dict[tuple[Attacker, Secret], tuple[tuple[int, int, int], ...]]] = {
    ("classical", "uniform"): (
        *((29, 21, 16), (56, 39, 31), (111, 77, 60)),
        *((220, 154, 120), (440, 307, 239), (880, 612, 478)),
    ),
    ("classical", "error"): (
        *((29, 21, 16), (56, 39, 31), (111, 77, 60)),
        *((220, 154, 120), (440, 307, 239), (883, 613, 478)),
    ),
    ("classical", "ternary"): (
        *((27, 19, 14), (54, 37, 29), (109, 75, 58)),
        *((218, 152, 118), (438, 305, 237), (881, 611, 476)),
    ),
    ("quantum", "uniform"): (
        *((27, 19, 15), (53, 37, 29), (103, 72, 56)),
        *((206, 143, 111), (413, 286, 222), (829, 573, 445)),
    ),
    ("quantum", "error"): (
        *((27, 19, 15), (53, 37, 29), (103, 72, 56)),
        *((206, 143, 111), (413, 286, 222), (829, 573, 445)),
    ),
    ("quantum", "ternary"): (
        *((25, 17, 13), (51, 35, 27), (101, 70, 54)),
        *((202, 141, 109), (411, 284, 220), (827, 571, 443)),
    ),
}


def largest_modulus(degree: int, level: int, *, secret: Secret, attacker: Attacker) -> int:
    """The largest log2 q at which the standard gives `level` bits."""
    return _ROWS[attacker, secret][DEGREES.index(degree)][LEVELS.index(level)]


def level_of(degree: int, modulus: int, *, secret: Secret, attacker: Attacker) -> int:
    """The highest level of the table that a ring reaches; 0 if none."""
    return max(
        (
            level
            for level in LEVELS
            if modulus <= 1 << largest_modulus(degree, level, secret=secret, attacker=attacker)
        ),
        default=0,
    )
