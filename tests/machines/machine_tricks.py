"""Arithmetic that an attacker does on shares and ciphertexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flwr_swarm.encryption import RoundContext, modular, wire
from flwr_swarm.encryption.dense import pack_residues
from flwr_swarm.encryption.parameters import DEFAULT, MODULUS
from flwr_swarm.encryption.ring import common_polynomial
from flwr_swarm.encryption.shamir import interpolation_weights


def shifted(share: Any, context: RoundContext, holder: int, chosen: Sequence[int]) -> Any:
    """A share with which the `chosen` open the first chunk to a sum of the holder's own choice.

    It moves the key by what turns the first chunk's message into another without any noise.
    """
    step = DEFAULT.step * 5
    common = common_polynomial(context.common_seed(), 0)
    weight = dict(zip(chosen, interpolation_weights(list(chosen), at=0), strict=True))
    inverse = pow(weight.get(holder, 1), -1, MODULUS)
    moves = [step * pow(int(a), -1, MODULUS) * inverse % MODULUS for a in common]
    return modular.subtract(share, np.array(moves, dtype=np.uint64))


def doubled(payload: bytes) -> bytes:
    """Twice another's update, under twice its key."""
    once = wire.read_ciphertext(payload, DEFAULT)
    twice = modular.add(once.residues, once.residues)
    packed = [pack_residues(chunk) for chunk in twice]
    return wire.write_ciphertext(once.lanes, packed, DEFAULT)
