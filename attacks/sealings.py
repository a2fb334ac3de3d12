"""One update sealed by several members in several rounds, rightly and with a key used twice."""

from __future__ import annotations

import os

import numpy as np

from flwr_swarm.encryption import RoundContext, ThresholdScheme, generate_encryption_key, wire
from flwr_swarm.encryption.cipher import encrypt
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.randomness import Stream, uniform

from .gates_cipher import Residues

_LANES = np.full(9000, 12345, np.uint32)
_MEMBERS, _ROUNDS = (0, 1, 2), (1, 2)


def by_the_scheme() -> dict[str, Residues]:
    """Residues of one update, as three members seal it in two rounds."""
    holders = [generate_encryption_key(os.urandom)[1] for _ in _MEMBERS]
    return {
        f"member {member}, round {turn}": _residues(
            ThresholdScheme()
            .seal(_LANES, context=_round(turn), sender=member, holders=holders, threshold=2)
            .payload
        )
        for turn in _ROUNDS
        for member in _MEMBERS
    }


def with_one_key() -> dict[str, Residues]:
    """The same, but that all members of a round have one key."""
    found = {}
    for turn in _ROUNDS:
        key = uniform(os.urandom, 4096).copy()
        for member in _MEMBERS:
            payload = encrypt(
                _LANES,
                secret=key,
                seed=_round(turn).common_seed(),
                stream=Stream(random=os.urandom),
                parameters=DEFAULT,
            )
            found[f"member {member}, round {turn}"] = _residues(payload)
    return found


def _round(number: int) -> RoundContext:
    return RoundContext(chain_id=1, contract="0x" + "11" * 20, round=number, anchor=bytes(32))


def _residues(payload: bytes) -> Residues:
    residues: Residues = wire.read_ciphertext(payload, DEFAULT).residues
    return residues
