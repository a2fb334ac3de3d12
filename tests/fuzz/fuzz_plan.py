"""Which input is tried when: a function of a seed and a number, for all decoders together."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import fuzz_chain_decoders
import fuzz_evidence_decoders
import fuzz_file_decoders
import fuzz_flower_decoders
import fuzz_node_decoders
import fuzz_wire_decoders
from fuzz_bytes import blind, repeatable
from fuzz_decoder import Decoder, Finding

_BLIND = 0.25
"""Part of the mutations that know nothing of the form."""


@cache
def all_decoders() -> tuple[Decoder, ...]:
    """Every decoder, each of which has read its valid messages."""
    found = (
        *fuzz_wire_decoders.decoders(),
        *fuzz_flower_decoders.decoders(),
        *fuzz_chain_decoders.decoders(),
        *fuzz_node_decoders.decoders(),
        *fuzz_file_decoders.decoders(),
        *fuzz_evidence_decoders.decoders(),
    )
    for decoder in found:
        decoder.settle()
    return found


def mutant(decoder: Decoder, random: Random) -> bytes:
    """One input for `decoder`."""
    message = random.choice(decoder.corpus)
    if random.random() < _BLIND:
        return blind(random, message, decoder.corpus)
    return decoder.mutate(random, message, decoder.corpus)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Inputs by number.

    Parameters
    ----------
    seed : int
        The same seed gives the same choices; what is bent by them is made anew by each process.
    decoders : sequence of Decoder
    """

    seed: int
    decoders: Sequence[Decoder]

    def case(self, number: int) -> tuple[Decoder, bytes]:
        """Decoder and input of one number."""
        return self.drawn(number), mutant(self.drawn(number), repeatable(f"{self.seed}/{number}"))

    def drawn(self, number: int) -> Decoder:
        """Whose input it is."""
        random = repeatable(f"{self.seed}/{number}/whose")
        (decoder,) = random.choices(self.decoders, [d.share for d in self.decoders])
        return decoder

    def check(self, number: int) -> tuple[Decoder, bool]:
        """Try one; whether it was accepted.

        Raises
        ------
        Finding
            With what it takes to try it again.
        """
        decoder, data = self.case(number)
        try:
            return decoder, decoder.check(data)
        except Finding as finding:
            raise Finding(f"{finding}; {self.told(number, decoder, data)}") from finding

    def told(self, number: int, decoder: Decoder, data: bytes) -> str:
        """How to try an input again."""
        kept = keep(data)
        return (
            f"seed {self.seed}, number {number}: python -m tests.fuzz --decoder {decoder.name!r} "
            f"--file {kept}; it begins {data[:200]!r}"
        )


def keep(data: bytes) -> Path:
    """Write an input where it can be found again."""
    folder = Path(tempfile.gettempdir()) / "flwr-swarm-fuzz"
    folder.mkdir(exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path
