"""What a hostile relay makes of the requests that it carries: one change to one message, or to all.

`bend(world, relay, parcel, number)` returns another parcel; `number` picks the change, so that
the same number changes every officer's request in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from machine_relay import Relay
from machine_world import Parcel, World, altered

from flwr_swarm import encryption
from flwr_swarm._exceptions import WireError
from flwr_swarm.encryption import ThresholdScheme, wire
from flwr_swarm.encryption.dense import pack_residues
from flwr_swarm.encryption.parameters import DEFAULT, MODULUS
from flwr_swarm.protocol.messages import ModelProof, OpenRequest
from flwr_swarm.protocol.payload import aggregate_hash
from flwr_swarm.protocol.types import Certificate, Phase

Bend = Callable[[World, Relay, Parcel, int], Parcel]


def bend(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    """The parcel, changed in the `number`-th way that suits its kind."""
    ways = _WAYS.get(parcel.kind)
    if ways is None:
        return parcel
    name, way = ways[number % len(ways)]
    world.reached[f"bent: {name}"] += 1
    return way(world, relay, parcel, number // len(ways))


# --- a model -----------------------------------------------------------------------------------


def _another_model(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    model = world.crafted(parcel.model)
    world.keep(model, parcel.state)
    return replace(parcel, model=model)


def _another_order(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    """The same model by its hash; a strategy that counts arrays would take it for another."""
    return replace(parcel, model=dict(reversed(parcel.model.items())))


def _another_state(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    state = {**parcel.state, "m_t/bias": relay.model["bias"] + 1.0}
    world.keep(parcel.model, state)
    return replace(parcel, state=state)


def _hidden_openings(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    """As if the last round had never been opened: with the model that it trained on."""
    record = world.state.records[world.state.last_certified - 1] if world.state.records else None
    if record is None or record.round.certificate is None:
        return parcel
    model, state = world.archive[record.round.parent]
    proof = ModelProof(round=record.round.number)
    return replace(parcel, model=model, state=state, request=replace(parcel.request, proof=proof))


def _proof(change: Callable[[ModelProof], ModelProof]) -> Bend:
    def changed(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
        proof = change(parcel.request.proof)
        return replace(parcel, request=replace(parcel.request, proof=proof))

    return changed


def _stale_proof(proof: ModelProof) -> ModelProof:
    return replace(proof, round=max(0, proof.round - 1))


def _fewer_openings(proof: ModelProof) -> ModelProof:
    return replace(proof, openings=dict(list(proof.openings.items())[1:]))


def _false_opening(proof: ModelProof) -> ModelProof:
    return replace(proof, openings={i: altered(o) for i, o in proof.openings.items()})


def _another_round(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    ahead = (-1, 1, 2)[number % 3]
    return replace(
        parcel, request=replace(parcel.request, round=max(0, parcel.request.round + ahead))
    )


def _other_terms(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    terms = {**world.place.terms, "clip": 1e6}
    place = replace(world.place, terms=terms)
    return replace(parcel, request=replace(parcel.request, place=place))


# --- ciphertexts to merge ------------------------------------------------------------------------


def _updates(change: Callable[[dict[int, Any], Relay, int], None]) -> Bend:
    def changed(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
        updates = dict(parcel.request.updates)
        if updates:
            change(updates, relay, number)
        return replace(parcel, request=replace(parcel.request, updates=updates))

    return changed


def _leave_out(updates: dict[int, Any], relay: Relay, number: int) -> None:
    del updates[sorted(updates)[number % len(updates)]]


def _swap(updates: dict[int, Any], relay: Relay, number: int) -> None:
    members = sorted(updates)
    one, other = members[number % len(members)], members[(number + 1) % len(members)]
    updates[one], updates[other] = updates[other], updates[one]


def _alter(updates: dict[int, Any], relay: Relay, number: int) -> None:
    member = sorted(updates)[number % len(updates)]
    layout, payload = updates[member]
    updates[member] = (layout, reencoded(payload) if number % 4 else altered(payload))


def reencoded(payload: bytes) -> bytes:
    """Another ciphertext that reads as well as this one: a residue is one more."""
    try:
        read = wire.read_ciphertext(payload, DEFAULT)
    except WireError:
        return altered(payload)
    residues = read.residues.copy()
    residues[0, 0] = (residues[0, 0] + np.uint64(1)) % np.uint64(MODULUS)
    return wire.write_ciphertext(read.lanes, [pack_residues(r) for r in residues], DEFAULT)


def _stale(updates: dict[int, Any], relay: Relay, number: int) -> None:
    """A ciphertext of an earlier round in place of this round's."""
    member = sorted(updates)[number % len(updates)]
    old = [reply for (_, i), reply in sorted(relay.seals.items()) if i == member]
    updates[member] = (old[0].layout, old[0].payload)


def _copy(updates: dict[int, Any], relay: Relay, number: int) -> None:
    members = sorted(updates)
    updates[members[number % len(members)]] = updates[members[(number + 1) % len(members)]]


def _another_view(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    return replace(parcel, request=replace(parcel.request, view=parcel.request.view + 1))


# --- shares to release ---------------------------------------------------------------------------


def forged_opening(world: World, relay: Relay, to: int, number: int) -> Parcel | None:
    """Ask for the shares of another set than the certified one, or of a set before any is.

    A certificate is made up for it; who is faulty signs, and whatever else was signed goes along.
    """
    current = world.state.current.round
    seals = {i: r for (n, i), r in relay.seals.items() if n == current.number}
    sealed = [i for i in sorted(seals) if current.seal_of(i) is not None]
    sets = [s for size in range(1, len(sealed) + 1) for s in combinations(sealed, size)]
    if not sets or current.phase not in {Phase.MERGING, Phase.CERTIFIED}:
        return None
    chosen = sets[-1 - number % len(sets)]
    try:
        merged = ThresholdScheme().merge([seals[i].payload for i in chosen])
        hashes = {i: tuple(map(encryption.envelope_hash, seals[i].envelopes)) for i in chosen}
    except WireError:
        return None
    certificate = Certificate(
        round=current.number,
        view=current.view,
        included=chosen,
        aggregate_hash=aggregate_hash(world.terms, merged),
    )
    signed = {
        i: reply.signature for (n, _, i), reply in relay.merges.items() if n == current.number
    }
    world.reached["bent: a forged opening"] += 1
    request = OpenRequest(
        place=world.place,
        certificate=certificate,
        signatures=tuple(sorted(signed.items())),
        envelopes={i: seals[i].envelopes[to] for i in chosen if len(seals[i].envelopes) > to},
        envelope_hashes=hashes,
        proofs={i: seals[i].proof for i in chosen},
    )
    return Parcel(to=to, kind="open", request=request)


def _another_set(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
    return forged_opening(world, relay, parcel.to, number) or parcel


def _envelopes(change: Callable[[dict[int, Any], Relay, int], None]) -> Bend:
    def changed(world: World, relay: Relay, parcel: Parcel, number: int) -> Parcel:
        envelopes = dict(parcel.request.envelopes)
        change(envelopes, relay, number)
        return replace(parcel, request=replace(parcel.request, envelopes=envelopes))

    return changed


def _false_envelope(envelopes: dict[int, Any], relay: Relay, number: int) -> None:
    sender = sorted(envelopes)[number % len(envelopes)]
    envelopes[sender] = altered(envelopes[sender])


_WAYS: dict[str, tuple[tuple[str, Bend], ...]] = {
    "seal": (
        ("another model", _another_model),
        ("another state", _another_state),
        ("another order", _another_order),
        ("hidden openings", _hidden_openings),
        ("a stale proof", _proof(_stale_proof)),
        ("too few openings", _proof(_fewer_openings)),
        ("a false opening in the proof", _proof(_false_opening)),
        ("another round", _another_round),
        ("other terms", _other_terms),
    ),
    "merge": (
        ("an update left out", _updates(_leave_out)),
        ("payloads swapped", _updates(_swap)),
        ("a payload altered", _updates(_alter)),
        ("a stale payload", _updates(_stale)),
        ("a payload copied", _updates(_copy)),
        ("another view", _another_view),
    ),
    "open": (
        ("another set", _another_set),
        ("a share left out", _envelopes(_leave_out)),
        ("shares swapped", _envelopes(_swap)),
        ("a share altered", _envelopes(_false_envelope)),
    ),
}
_WAYS["evaluate"] = _WAYS["seal"]
WAYS_TO_MERGE = len(_WAYS["merge"])
LEFT_OUT = 0
"""Number of the way to leave an update out; plus multiples of `WAYS_TO_MERGE` for another's."""
BENDS = frozenset(f"bent: {name}" for ways in _WAYS.values() for name, _ in ways)
