"""Nothing unparsed reaches TenSEAL: what SEAL loads while mutants run, our own ring code wrote."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tenseal.sealapi as seal
from encryption_support import Q, round_context
from fuzz_bytes import repeatable
from fuzz_decoder import Decoder
from fuzz_material import SCHEME, frames, sealed
from fuzz_plan import mutant
from fuzz_wire_decoders import decoders

from flwr_swarm._exceptions import SwarmError
from flwr_swarm.encryption import ring
from flwr_swarm.encryption.engines import VARIABLE
from flwr_swarm.encryption.parameters import DEGREE

TRIED = 150
_MARK = bytes(range(0xA0, 0xB0))
"""What no residue, header or key holds, and every mutant does here."""


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every byte string that SEAL is given to load, from now on."""
    found: list[bytes] = []

    def recording(kind: Any) -> Any:
        class Recorder(kind):  # type: ignore[misc]
            def load(self, context: Any, path: str) -> None:
                found.append(Path(path).read_bytes())
                super().load(context, path)

        return Recorder

    monkeypatch.setenv(VARIABLE, "seal")
    SCHEME.open(*_opened(), **_as_asked())  # the ring learns SEAL's encodings, once
    for name in ("Ciphertext", "Plaintext"):
        monkeypatch.setattr(seal, name, recording(getattr(seal, name)))
    return found


def _opened() -> tuple[bytes, dict[int, bytes]]:
    first, second = frames()["opening"][:2]
    return frames()["aggregate"][0], {0: first, 1: second}


def _as_asked() -> dict[str, Any]:
    return {"context": round_context(1), "threshold": 2, "included": 3}


def _residues_of(loaded: bytes) -> tuple[bytes, np.ndarray[Any, Any]]:
    """What stands before the polynomials, and their residues."""
    polynomials = max(1, len(loaded) // (8 * DEGREE))
    cut = len(loaded) - 8 * DEGREE * polynomials
    return loaded[:cut], np.frombuffer(loaded[cut:], dtype="<u8")


def _ours(loaded: bytes, seeds: list[bytes]) -> bool:
    """Whether these are a header learnt from SEAL, and residues that we drew or parsed."""
    head, residues = _residues_of(loaded)
    count = len(residues) // DEGREE
    engine = ring._engine()
    templates = (engine._plain, *engine._cipher.values())
    known = {engine._prefix(t, n) for t in templates for n in (count,) if len(t[1]) >= 8 * DEGREE}
    if head not in known or int(residues.max()) >= Q:
        return False
    if count == 1:  # a key: drawn, or the sum that parsed openings determine
        return True
    rows = residues.reshape(count, DEGREE)
    return any(
        all(np.array_equal(rows[k], ring.common_polynomial(seed, k)) for k in range(count))
        for seed in seeds
    )


@pytest.mark.parametrize(
    "name", ["ciphertext", "aggregate", "opening", "opening used", "sum opened"]
)
def test_seal_loads_only_what_our_ring_code_wrote_while_mutants_run(
    loaded: list[bytes], name: str
) -> None:
    (decoder,) = [one for one in decoders() if one.name == name]
    for seed in range(TRIED):
        data = _marked(decoder, repeatable(seed))
        for use in (decoder.read, lambda d: SCHEME.merge([d]), _open_with, _open_all):
            try:
                use(data)
            except SwarmError:
                continue
    SCHEME.open(*_opened(), **_as_asked())
    assert loaded, "an honest sum is opened with SEAL"
    assert not any(_MARK in one for one in loaded)
    seed = round_context(1).common_seed()
    assert all(_ours(one, [seed]) for one in loaded)


def _marked(decoder: Decoder, random: Random) -> bytes:
    """A mutant; half of them carry a mark that would be seen again wherever it went."""
    data = mutant(decoder, random)
    if random.random() < 0.5 or len(data) < 100:
        return data
    at = random.randrange(14, len(data) - 40)
    return data[:at] + _MARK + data[at + len(_MARK) :]


def _open_with(data: bytes) -> Any:
    merged, openings = _opened()
    return SCHEME.open(merged, {0: openings[0], 1: data}, **_as_asked())


def _open_all(data: bytes) -> Any:
    return SCHEME.open(data, _opened()[1], **_as_asked())


def test_the_recorder_sees_what_seal_is_given(loaded: list[bytes], tmp_path: Path) -> None:
    """And knows bytes that are not of our ring code."""
    SCHEME.open(*_opened(), **_as_asked())
    seeds = [round_context(1).common_seed()]
    assert loaded
    assert all(_ours(one, seeds) for one in loaded)
    foreign = bytearray(loaded[-1])
    foreign[-8:] = (Q).to_bytes(8, "little")
    assert not _ours(bytes(foreign), seeds)
    assert not _ours(sealed(1)[0].payload[:9] + loaded[-1][9:], seeds)
    assert not _ours(loaded[-1], [bytes(32)])
