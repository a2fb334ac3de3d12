"""The same decoders and promises under atheris: inputs that reach new code are bent further."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from fuzz_decoder import Decoder

_LONGEST = 1 << 18
_HANGS_AFTER = 60
_MEGABYTES = 4096
_FRESH = 0.4
"""Part of the inputs that begin from a valid message again."""


def run(*, count: int, seed: int, seconds: int, name: str | None) -> int:
    """Try `count` inputs; libFuzzer ends the process, and keeps an input that breaks a promise."""
    with atheris.instrument_imports(include=["flwr_swarm"]):
        from fuzz_plan import all_decoders
    decoders = [decoder for decoder in all_decoders() if name in (None, decoder.name)]
    folder = Path(tempfile.mkdtemp(prefix="flwr-swarm-guided-"))
    seeds = folder / "seeds"
    seeds.mkdir()
    for index, decoder in enumerate(decoders):
        for at, message in enumerate(decoder.corpus):
            (seeds / f"{index:03d}-{at:03d}").write_bytes(bytes([index]) + message)

    def try_one(data: bytes) -> None:
        if not data:
            return
        decoder = decoders[data[0] % len(decoders)]
        decoder.check(data[1:])

    arguments = [
        sys.argv[0],
        f"-runs={count}",
        f"-seed={max(seed % 2**31, 1)}",
        f"-max_len={_LONGEST}",
        f"-timeout={_HANGS_AFTER}",
        f"-rss_limit_mb={_MEGABYTES}",
        "-entropic_scale_per_exec_time=1",
        "-len_control=0",
        "-print_final_stats=1",
        f"-artifact_prefix={folder}/found-",
    ]
    if seconds:
        arguments.append(f"-max_total_time={seconds}")
    atheris.Setup([*arguments, str(seeds)], try_one, custom_mutator=_bending(decoders))
    print(
        f"{len(decoders)} decoders; what is found lies in {folder}, its first byte aside",
        flush=True,
    )
    atheris.Fuzz()
    return os.EX_OK


def _bending(decoders: list[Decoder]):  # type: ignore[no-untyped-def]
    from fuzz_bytes import blind, repeatable
    from fuzz_plan import mutant

    shares = [decoder.share for decoder in decoders]

    def bend(data: bytes, longest: int, seed: int) -> bytes:
        random = repeatable(seed)
        index = data[0] % len(decoders) if data else 0
        if random.random() < _FRESH:
            (index,) = random.choices(range(len(decoders)), shares)
            made = mutant(decoders[index], random)
        else:
            decoder, message = decoders[index], bytes(data[1:])
            try:
                made = decoder.mutate(random, message, decoder.corpus)
            except Exception:  # it has lost the form that this mutation knows
                made = blind(random, message, decoder.corpus)
        return (bytes([index]) + made)[:longest]

    return bend
