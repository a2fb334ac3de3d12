"""Valid messages of every kind, made by the project's own code: the seeds of all mutants."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from chain_support import Swarm, frozen_chain, key_of
from encryption_support import (
    dealt_to,
    key_pairs,
    openings_of,
    round_context,
    seal_all,
)
from flwr.app import RecordDict
from fuzz_folder import folder
from swarm_bench import Bench

from flwr_swarm.chain.history import export
from flwr_swarm.encryption import Sealed, ThresholdScheme
from flwr_swarm.encryption.complaint import complain
from flwr_swarm.encryption.parameters import DEFAULT

SCHEME = ThresholdScheme()
HOLDERS = 3
_ROUNDS = (1, 2)


@cache
def sealed(number: int) -> list[Sealed]:
    """Three updates of one round, two chunks each."""
    lanes = [np.arange(9000, dtype=np.uint32) % 50 for _ in range(3)]
    context = round_context(number)
    return seal_all(SCHEME, lanes, holders=HOLDERS, threshold=2, seed=number, context=context)


@cache
def frames() -> dict[str, tuple[bytes, ...]]:
    """Messages of the encryption's wire, of two rounds."""
    found: dict[str, list[bytes]] = {}
    for number in _ROUNDS:
        ones = sealed(number)
        context = round_context(number)
        openings = openings_of(SCHEME, ones, holders=HOLDERS, who=[0, 1, 2], context=context)
        found.setdefault("ciphertext", []).extend(one.payload for one in ones[:2])
        found.setdefault("aggregate", []).append(SCHEME.merge([one.payload for one in ones]))
        found.setdefault("envelope", []).extend(e for one in ones for e in one.envelopes)
        found.setdefault("opening", []).extend(openings.values())
        found.setdefault("proof", []).extend(one.proof for one in ones)
        for holder in (0, 2):
            complaint = complain(
                dealt_to(ones[1], holder),
                context=context,
                dealer=1,
                private_key=key_pairs(HOLDERS)[holder][0],
                parameters=DEFAULT,
            )
            found.setdefault("complaint", []).append(complaint)
    return {kind: tuple(messages) for kind, messages in found.items()}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A whole run on a bench: its messages by phase, its evidence, what a member remembers."""

    sent: dict[str, tuple[RecordDict, ...]]
    answered: dict[str, tuple[RecordDict, ...]]
    evidence: Path
    state: RecordDict


@cache
def run() -> Run:
    """Two rounds of three members."""
    directory = folder() / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Bench(directory, nodes=HOLDERS) as bench:
            bench.round()
            bench.round()
            bench.swarm._relay.complete_evidence(bench.model)
            sides = []
            for messages in (bench.sent, bench.answered):
                by_phase: dict[str, list[RecordDict]] = {}
                for phase, _, message in messages:
                    by_phase.setdefault(phase, []).append(message.content)
                sides.append({phase: tuple(each) for phase, each in by_phase.items()})
            state = bench.context(1).state
    return Run(sent=sides[0], answered=sides[1], evidence=directory, state=state)


@cache
def swarm() -> Swarm:
    """A swarm on a chain of its own, with a round drawn and a proposal open."""
    made = Swarm(frozen_chain(), 4, relaying=True, epsilon_cap=100)
    made.whole_round(1)
    made.ledgers[0].submit(made.admit_call(10))
    made.seal_all(2)
    return made


@cache
def history() -> dict[str, Any]:
    """Everything that changed that swarm's contract."""
    return export(swarm().chain, swarm().contract)


@cache
def calls() -> tuple[Any, ...]:
    """Calls of every function that takes more than words."""
    made = swarm()
    return (
        made.certify_call(made.certificate(), made.officers()),
        made.accusation(2, 2, 1),
        made.admit_call(11),
        made.rotate_call(1, 12),
        made.carry_call((0, made.seal_call(0, 2)), (1, made.seal_call(1, 2))),
        made.seal_call(3, 2),
    )


@cache
def odd_transactions() -> tuple[bytes, ...]:
    """Signed transactions of the types that this package does not send."""
    made, found = swarm(), []
    usual = {"to": made.contract, "value": 0, "gas": 100_000, "nonce": 3, "data": b"\x01\x02"}
    listed = [{"address": made.contract, "storageKeys": ["0x" + "07" * 32]}]
    for extra in (
        {"gasPrice": 7, "chainId": 77},
        {"gasPrice": 7},
        {"type": 1, "gasPrice": 7, "chainId": 77, "accessList": listed},
        {
            "type": 2,
            "maxFeePerGas": 9,
            "maxPriorityFeePerGas": 1,
            "chainId": 77,
            "accessList": listed,
        },
    ):
        found.append(bytes(key_of(1).sign_transaction(usual | extra).raw_transaction))
    return tuple(found)


def dumped(value: Any) -> bytes:
    """Canonical JSON, as mutations take it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
