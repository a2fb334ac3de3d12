"""What the test writes down of a run, and the promises that hold of it.

Everything that leaves an honest site is entered at once and checked against what left before and
against the ledger as it really is. Models are recomputed from the lanes that members encrypted,
without any encryption.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from flwr_swarm._exceptions import SwarmError, WireError
from flwr_swarm.chain.state import Record, State
from flwr_swarm.encryption import ThresholdScheme, wire
from flwr_swarm.encryption.dealing_wire import read_complaint
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.flower import replay as replaying
from flwr_swarm.protocol.election import quorum
from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.member import certificate_digest, last_certified, round_context
from flwr_swarm.protocol.memory import Parent
from flwr_swarm.protocol.messages import Evidence, MergeReply, ModelProof, OpenReply, SealReply
from flwr_swarm.protocol.payload import aggregate_hash, decode_layout
from flwr_swarm.protocol.types import Certificate, LedgerView, Round

if TYPE_CHECKING:
    from machine_world import World


@dataclass
class Certified:
    """A certificate that the ledger held, and what honestly follows from it."""

    certificate: Certificate
    parent: bytes
    model: bytes | None
    """Hash of the model that the honest recomputation leads to; None if it leads nowhere."""
    taken: dict[int, bytes] = field(default_factory=dict)
    """Honest member to the model that it recomputed from openings."""
    agreed: set[tuple[int, bytes]] = field(default_factory=set)
    """Honest members with each model that they said they recomputed: this book checked it then."""


class Book:
    """The run as it really was."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faulty: frozenset[int] = frozenset()
        self.lanes: dict[bytes, Any] = {}
        self.payloads: dict[tuple[int, bytes], tuple[bytes, bytes]] = {}
        """(member, payload's hash on the ledger) to (layout, payload)."""
        self.out: dict[tuple[int, int], set[bytes]] = defaultdict(set)
        self.signatures: dict[tuple[int, int, int], set[bytes]] = defaultdict(set)
        self.sets: dict[int, dict[tuple[int, ...], set[int]]] = defaultdict(
            lambda: defaultdict(set)
        )
        """Round to set to the honest members that released shares for it."""
        self.keys: set[tuple[int, int]] = set()
        """(honest member, round) of the keys drawn."""
        self.certificates: dict[bytes, Certified] = {}

    # --- what honest members do --------------------------------------------------------------

    def encrypted(self, member: int, payload_hash: bytes, reply: SealReply, lanes: Any) -> None:
        """What is behind a hash that `member` may put on the ledger; None if nobody knows."""
        self.lanes[digest(reply.payload)] = lanes
        self.payloads[member, payload_hash] = (reply.layout, reply.payload)

    def content(self, payload: bytes) -> Any:
        """Lanes in a ciphertext, None if nobody knows."""
        return self.lanes.get(digest(payload))

    def handed_out(self, reply: SealReply) -> None:
        """A one-time key encrypts once: one payload a round leaves a site."""
        out = self.out[reply.member, reply.round]
        out.add(reply.payload)
        assert len(out) == 1, f"member {reply.member} sealed twice in round {reply.round}"

    def signed(self, reply: MergeReply) -> None:
        """An honest member signs one statement a view."""
        statement = reply.certificate
        said = self.signatures[reply.member, statement.round, statement.view]
        said.add(certificate_digest(statement))
        assert len(said) == 1, f"member {reply.member} signed two merges of one view"

    def released(self, reply: OpenReply, number: int) -> None:
        """Shares leave an honest site for one set a round, and only if that set is certified."""
        if reply.complaints:
            self._complained(reply)
            return
        opening = wire.read_opening(reply.opening, DEFAULT)
        senders, record = opening.senders, self.world.state.records[number - 1]
        context = round_context(self.world.view(), number, record.round.parent)
        assert opening.context == context.digest(), "an opening of another round"
        held = {(c.certificate.round, c.certificate.included) for c in self.certificates.values()}
        assert (number, senders) in held, (
            f"member {reply.member} opened {senders} of round {number} without certificate"
        )
        sets = self.sets[number]
        sets[senders].add(reply.member)
        mine = [chosen for chosen, members in sets.items() if reply.member in members]
        assert len(mine) == 1, f"member {reply.member} released shares for {mine}"
        able = [
            chosen
            for chosen, members in sets.items()
            if len(members | self.faulty) >= self.world.state.policy.threshold
        ]
        assert len(able) < 2, f"two sets of round {number} can be opened: {able}"

    def _complained(self, reply: OpenReply) -> None:
        """An honest member that complains releases nothing, and is right."""
        assert not reply.opening, f"member {reply.member} complained and released shares"
        for complaint in reply.complaints:
            dealer = read_complaint(complaint, DEFAULT).dealer
            assert dealer in self.faulty, f"member {reply.member} blamed honest member {dealer}"
        self.world.reached["complained"] += 1

    def drew(self, member: int, number: int) -> None:
        """An honest member draws one key a round, whatever it remembers of it."""
        assert (member, number) not in self.keys, f"member {member} drew two keys of round {number}"
        self.keys.add((member, number))

    def forgot(self, member: int) -> None:
        """It lost what it should remember; what it drew before never left it."""
        self.keys = {(one, number) for one, number in self.keys if one != member}

    def blamed(
        self,
        proven: Iterable[Evidence],
        replies: Iterable[OpenReply],
        seals: Mapping[int, SealReply],
    ) -> None:
        """Complaints prove what honest members say, and nothing against an honest dealer."""
        named = {evidence.dealer for evidence in proven}
        assert named <= self.faulty, f"honest dealers were blamed: {named - self.faulty}"
        said = {
            read_complaint(complaint, DEFAULT).dealer
            for reply in replies
            if reply.member not in self.faulty
            for complaint in reply.complaints
        }
        missing = (said & seals.keys()) - named
        assert not missing, f"a crooked dealer was not named: {missing}"
        self.world.reached["a dealer blamed"] += len(named)

    def took(self, member: int, view: LedgerView, proof: ModelProof, offered: bytes) -> None:
        """An honest member says that it recomputed `offered` from the last certified sum."""
        last = last_certified(view)
        assert last is not None
        assert last.certificate is not None
        entry = self.certificates[certificate_digest(last.certificate)]
        if (member, offered) in entry.agreed:
            self.world.reached["agreed to again"] += 1
            return
        if not proof.openings:
            assert offered == entry.parent, f"member {member} took a model that nobody certified"
            self.world.reached["unopened round passed over"] += 1
        else:
            entry.taken[member] = offered
            models = set(entry.taken.values())
            assert len(models) == 1, f"members hold different models of round {last.number}"
            assert models == {entry.model}, f"member {member} holds another than the honest model"
            self.world.reached["recomputed"] += 1
        entry.agreed.add((member, offered))

    def sealing(
        self, member: int, view: LedgerView, proof: ModelProof, parent: Parent, verified: bool
    ) -> None:
        """An honest member agrees to train on `parent`."""
        self.world.keep(parent.model, parent.state)
        if verified:
            self.took(member, view, proof, parent.hash)

    # --- what the ledger comes to ------------------------------------------------------------

    def drawn(self, state: State) -> None:
        """After the first certificate, a round that gets its leader trains on a certified model."""
        record = state.current
        honest = [s for s in record.round.seals if s.member not in self.faulty]
        assert {seal.parent for seal in honest} <= {record.round.parent}, "two parents"
        if record.base == 0:
            return
        base = state.records[record.base - 1].round
        assert base.certificate is not None
        entry = self.certificates[certificate_digest(base.certificate)]
        assert record.round.parent in {entry.model, entry.parent}, (
            f"round {record.round.number} trains on a model that nobody certified"
        )

    def certified(self, record: Record) -> None:
        """A certificate has an honest quorum behind it, and names the sum of what was sealed."""
        round_ = record.round
        certificate = round_.certificate
        assert certificate is not None
        assert round_.leader in record.signers, "the leader did not sign"
        votes = len({*record.signers} & {*round_.committee})
        assert votes >= quorum(len(round_.committee)), f"certified by {votes} votes"
        said = certificate_digest(certificate)
        for member in set(record.signers) - self.faulty:
            assert said in self.signatures[member, round_.number, round_.view], "a forged vote"
        parts = [self._payload(round_, member) for member in certificate.included]
        payloads = [payload for _, payload in parts]
        assert len(set(payloads)) == len(payloads), "a copied ciphertext is in the sum"
        merged = ThresholdScheme().merge(payloads)
        assert aggregate_hash(self.world.terms, merged) == certificate.aggregate_hash, "a wrong sum"
        model = self._recomputed(round_, parts)
        self.certificates[said] = Certified(
            certificate=certificate, parent=round_.parent, model=model
        )

    def _payload(self, round_: Round, member: int) -> tuple[bytes, bytes]:
        seal = round_.seal_of(member)
        assert seal is not None
        return self.payloads[member, seal.payload_hash]

    def _recomputed(self, round_: Round, parts: list[tuple[bytes, bytes]]) -> bytes | None:
        """Hash of the next model from the members' plain lanes, or None if there is none."""
        lanes = [self.lanes[digest(payload)] for _, payload in parts]
        if any(part is None for part in lanes):
            return None
        model, state = self.world.archive[round_.parent]
        parent = Parent(round=round_.number, hash=round_.parent, model=model, state=state)
        total = reduce(np.add, (part.astype(np.uint64) for part in lanes))
        layout = decode_layout(parts[0][0])
        try:
            step = replaying.replay(
                self.world.terms, round_.number, parent, layout, total, len(lanes)
            )
        except (SwarmError, WireError):
            self.world.reached["a sum that leads nowhere"] += 1
            return None
        return model_hash(*step)


def digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()
