"""A member's memory as named blobs, and back: what lies on a disk or in Flower's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .._exceptions import MemoryDamaged
from .._octets import Octets
from .hashing import canonical_json, parse_json
from .memory import Given, Held, Memory, Parent
from .messages import Place, SealReply
from .terms import Terms

_FACTS: Final = "facts"
_DEEPEST: Final = 8


def to_blobs(memory: Memory) -> dict[str, Octets]:
    """Everything in `memory`. A parent that several of its parts share is in there once."""
    blobs: dict[str, Octets] = {}
    parents: dict[str, Parent] = {}

    def place(parent: Parent) -> str:
        for name, known in parents.items():
            if (known.round, known.hash) == (parent.round, parent.hash):
                return name
        name = f"parent{len(parents)}"
        parents[name] = parent
        blobs[f"{name}.model"], blobs[f"{name}.state"] = parent.encoded
        return name

    facts: dict[str, Any] = {
        "place": None
        if memory.place is None
        else {**vars(memory.place), "terms": dict(memory.place.terms)},
        "parent": None if memory.parent is None else place(memory.parent),
        "intended": memory.intended,
        "signed": [[r, v, digest.hex()] for (r, v), digest in memory.signed.items()],
        "opened": [[r, digest.hex()] for r, digest in memory.opened.items()],
        "opening": None if memory.opening is None else memory.opening[0],
    }
    for name, held in (("pending", memory.pending), ("held", memory.held)):
        if held is not None:
            blobs[f"{name}.merged"] = held.merged
            facts[name] = {
                "parent": place(held.parent),
                "included": list(held.included),
                "layout": held.layout.hex(),
                "body": held.body.hex(),
                "terms": held.terms.to_json(),
                "threshold": held.threshold,
            }
    if memory.given is not None:
        facts["given"] = _given_facts(memory.given, blobs)
    if memory.opening is not None:
        blobs["opening"] = memory.opening[1]
    facts["parents"] = {
        name: {"round": parent.round, "hash": parent.hash.hex()} for name, parent in parents.items()
    }
    blobs[_FACTS] = canonical_json(facts)
    return blobs


def from_blobs(blobs: Mapping[str, Octets]) -> Memory:
    """The memory in `blobs`; empty if there are none.

    Raises
    ------
    MemoryDamaged
        They are not what `to_blobs` made.
    """
    if _FACTS not in blobs:
        return Memory()
    try:
        facts = parse_json(bytes(blobs[_FACTS]), deepest=_DEEPEST)
        parents = {
            name: Parent.decoded(
                round=int(found["round"]),
                hash=bytes.fromhex(found["hash"]),
                encoded=(blobs[f"{name}.model"], blobs[f"{name}.state"]),
            )
            for name, found in facts["parents"].items()
        }
        helds = {
            name: Held(
                parent=parents[found["parent"]],
                terms=Terms.from_json(found["terms"]),
                threshold=int(found["threshold"]),
                included=tuple(int(member) for member in found["included"]),
                layout=bytes.fromhex(found["layout"]),
                body=bytes.fromhex(found.get("body", "")),  # earlier versions kept none
                merged=blobs[f"{name}.merged"],
            )
            for name in ("pending", "held")
            if (found := facts.get(name)) is not None
        }
        given, opened_in = facts.get("given"), facts["opening"]
        return Memory(
            place=None if facts["place"] is None else Place(**facts["place"]),
            parent=None if facts["parent"] is None else parents[facts["parent"]],
            intended=int(facts["intended"]),
            given=None if given is None else _given(given, blobs),
            pending=helds.get("pending"),
            held=helds.get("held"),
            signed={(int(r), int(v)): bytes.fromhex(d) for r, v, d in facts["signed"]},
            opened={int(r): bytes.fromhex(d) for r, d in facts["opened"]},
            opening=None if opened_in is None else (int(opened_in), bytes(blobs["opening"])),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MemoryDamaged(
            f"what this site remembers is not readable ({type(error).__name__}); it was written "
            "by another version, or damaged: restore it, or remove it to take part again from the "
            "next round on"
        ) from error


def _given_facts(given: Given, blobs: dict[str, Octets]) -> dict[str, Any]:
    reply = given.reply
    blobs["given.payload"] = reply.payload
    for position, envelope in enumerate(reply.envelopes):
        blobs[f"given.envelope{position}"] = envelope
    return {
        "round": reply.round,
        "member": reply.member,
        "layout": reply.layout.hex(),
        "envelopes": len(reply.envelopes),
        "proof": reply.proof.hex(),
        "parent": given.parent.hex(),
        "payload_hash": given.payload_hash.hex(),
        "shares_hash": given.shares_hash.hex(),
        "position": given.position,
        "epoch": given.epoch,
        "epsilon": given.epsilon,
        "verified": given.verified,
    }


def _given(facts: Mapping[str, Any], blobs: Mapping[str, Octets]) -> Given:
    envelopes = tuple(bytes(blobs[f"given.envelope{p}"]) for p in range(int(facts["envelopes"])))
    return Given(
        reply=SealReply(
            round=int(facts["round"]),
            member=int(facts["member"]),
            layout=bytes.fromhex(facts["layout"]),
            payload=blobs["given.payload"],
            envelopes=envelopes,
            proof=bytes.fromhex(facts["proof"]),
        ),
        parent=bytes.fromhex(facts["parent"]),
        payload_hash=bytes.fromhex(facts["payload_hash"]),
        shares_hash=bytes.fromhex(facts["shares_hash"]),
        position=int(facts["position"]),
        epoch=int(facts["epoch"]),
        epsilon=int(facts["epsilon"]),
        verified=bool(facts["verified"]),
    )
