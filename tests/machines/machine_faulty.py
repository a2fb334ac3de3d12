"""What a faulty member does instead: it has its keys, all that the relay saw, and no scruples."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from crooked import crooked
from machine_relay import Relay
from machine_site import CHARGE, LAYOUT, Site
from machine_tricks import doubled, shifted
from machine_ways import HONEST, MERGES, OPENS, RECALLS, SEALS, SILENT
from machine_world import CHAIN_ID, CONTRACT, Parcel, World, altered

from flwr_swarm import encryption
from flwr_swarm._exceptions import LedgerError, SwarmError
from flwr_swarm.encryption import Dealt, RoundContext, Sealed, ThresholdScheme, modular, wire
from flwr_swarm.encryption.cipher import encrypt
from flwr_swarm.encryption.complaint import complain
from flwr_swarm.encryption.holding import held_share
from flwr_swarm.encryption.key import OneTimeKey
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE
from flwr_swarm.encryption.randomness import Stream, uniform
from flwr_swarm.protocol.hashing import Arrays
from flwr_swarm.protocol.ledger import CertifyCall, LedgerCall, SealCall
from flwr_swarm.protocol.member import holder_keys, last_certified, round_context
from flwr_swarm.protocol.messages import (
    MergeReply,
    OpenReply,
    RecallReply,
    RecallRequest,
    SealReply,
)
from flwr_swarm.protocol.payload import aggregate_hash, encode_layout, payload_hash
from flwr_swarm.protocol.types import Certificate, LedgerView


class Faulty(Site):
    """A member that follows the protocol only as far as `manner` says."""

    def __init__(self, world: World, index: int, relay: Callable[[], Relay]) -> None:
        super().__init__(world, index, keystore=False)
        self.relay = relay
        self.die = random.Random(100 * world.seed + index)  # noqa: S311
        self.spent: bytes | None = None
        """Its last own ciphertext."""
        self.made: dict[bytes, tuple[Arrays, Arrays]] = {}
        """What it opened rounds on, for a relay that asks for it."""

    def misbehave(self, parcel: Parcel, manner: int) -> list[Any]:
        """Its replies to a message; `manner` picks among the ways to break this step."""
        ways = {"seal": SEALS, "merge": MERGES, "open": OPENS}.get(parcel.kind, (SILENT,))
        choices = (*ways, SILENT, HONEST, HONEST)
        how = choices[manner % len(choices)]
        self.world.reached[f"faulty: {how}"] += 1
        try:
            if how == SILENT:
                return []
            if how == HONEST:
                return [self.start(parcel)]
            if parcel.kind == "seal":
                return self._seal_falsely(parcel, how)
            if parcel.kind == "merge":
                return self._merge_falsely(parcel, how)
            return self._open_falsely(parcel, how)
        except SwarmError as error:
            self.world.reached[f"faulty stopped: {type(error).__name__}"] += 1
            return []

    def recall(self, request: RecallRequest) -> RecallReply | None:
        """To another relay, each time: nothing, altered bytes, or a model of its own."""
        how = RECALLS[(self.world.seed + self.index) % len(RECALLS)]
        self.world.reached[f"faulty recall: {how}"] += 1
        honest = super().recall(request)
        if how in (SILENT, HONEST) or honest is None:
            return None if how == SILENT else honest
        if how == "another model":
            first = self.world.crafted(self.world.first_model())
            return replace(honest, model=self.made.get(request.model, (first, {})))
        held, given = honest.held, honest.given
        if how == "another layout":
            odd = encode_layout((("odd", 2),))
            return replace(honest, held=None if held is None else replace(held, layout=odd))
        return replace(
            honest,
            held=None if held is None else replace(held, merged=altered(held.merged)),
            given=None if given is None else replace(given, payload=altered(given.payload)),
            opening=altered(honest.opening),
        )

    def call(self, call: LedgerCall) -> bool:
        """Whether the ledger took it."""
        try:
            self.node.submit(call)
        except LedgerError as error:
            self.world.reached[f"faulty refused: {getattr(error, 'reason', error)}"] += 1
            return False
        return True

    # --- trip 1 --------------------------------------------------------------------------------

    def _seal_falsely(self, parcel: Parcel, how: str) -> list[Any]:
        world, view = self.world, self.node.view()
        current = view.current
        number = current.number + (current.phase.name != "SEALING")
        model, state = parcel.model, parcel.state
        if how == "another model":
            model = world.crafted(model)
        certified = last_certified(view)
        if how == "the model before" and certified is not None:
            model, state = world.archive[certified.parent]
        parent = world.keep(model, state)
        self.made[parent] = (model, state)
        context = RoundContext(chain_id=CHAIN_ID, contract=CONTRACT, round=number, anchor=parent)
        lanes: Any = self.lanes(number, model)
        if how == "overfull lanes":
            lanes = np.full_like(lanes, 2**24 - 1)
        crook = how == "inconsistent shares"
        victims = [h for h in range(len(view.members)) if crook and self.die.random() < 0.5]
        sealed = self._sealed(view, context, lanes, victims)
        payload, envelopes = sealed.payload, sealed.envelopes
        layout = encode_layout((("odd", 2),) if how == "an odd layout" else LAYOUT)
        others = [r for (n, i), r in self.relay().seals.items() if n == number and i != self.index]
        if how == "a copied ciphertext" and others:
            payload, lanes = others[0].payload, world.book.content(others[0].payload)
        if how == "an amplified ciphertext" and others:
            payload, lanes = doubled(others[0].payload), None
        if how == "a stale ciphertext" and self.spent is not None:
            payload, lanes = self.spent, None
        self.spent = sealed.payload
        reply = SealReply(
            round=number,
            member=self.index,
            layout=layout,
            payload=payload,
            envelopes=envelopes,
            proof=sealed.proof,
        )
        hashes = [encryption.envelope_hash(e) for e in envelopes]
        reveals = view.members[self.index].reveals
        call = SealCall(
            round=number,
            parent=parent,
            payload_hash=payload_hash(self.world.terms, layout, payload, self.index),
            shares_hash=encryption.shares_hash(hashes, sealed.proof),
            reveal=self.keys.secret(CHAIN_ID, CONTRACT, reveals),
            commitment=self.keys.commitment(CHAIN_ID, CONTRACT, reveals + 1),
            epsilon=view.members[self.index].epsilon + CHARGE,
            verified=how in {"a false witness", "another model", "the model before"},
        )
        world.book.encrypted(self.index, call.payload_hash, reply, lanes)
        if how == "a hash of nothing":
            self.call(replace(call, payload_hash=altered(call.payload_hash)))
            return []
        self.call(call)
        if how == "another payload than sealed":
            return [replace(reply, payload=self._sealed(view, context, lanes, []).payload)]
        return [reply]

    def _sealed(
        self, view: LedgerView, context: RoundContext, lanes: Any, victims: Sequence[int]
    ) -> Sealed:
        """As `ThresholdScheme.seal`, but the victims' shares are on no polynomial."""
        random = self.world.random
        with OneTimeKey(random=random).spend() as secret:
            envelopes, proof = crooked(
                secret,
                context=context,
                sender=self.index,
                holders=holder_keys(view),
                threshold=view.policy.threshold,
                random=random,
                victims=victims,
                share=lambda share: uniform(random, share.size),
            )
            payload = encrypt(
                lanes,
                secret=secret,
                seed=context.common_seed(),
                stream=Stream(random=random),
                parameters=DEFAULT,
            )
        return Sealed(payload=payload, envelopes=envelopes, proof=proof)

    # --- trip 2 --------------------------------------------------------------------------------

    def _merge_falsely(self, parcel: Parcel, how: str) -> list[Any]:
        view, updates = self.node.view(), dict(parcel.request.updates)
        if not updates:
            return []
        honest = self._merged(view, updates)
        if how in {"two sums", "a smaller sum"}:
            updates.pop(max(updates))
            smaller = self._merged(view, updates) if updates else honest
            return [honest, smaller] if how == "two sums" else [smaller]
        if how == "a wrong sum":
            wrong = replace(honest.certificate, aggregate_hash=bytes([7]) * 32)
            return [self._statement(wrong, honest.merged)]
        if how == "a bad signature":
            return [replace(honest, signature=altered(honest.signature))]
        return [replace(honest, merged=b"garbage")]

    def _merged(self, view: LedgerView, updates: dict[int, tuple[bytes, bytes]]) -> MergeReply:
        merged = ThresholdScheme().merge([updates[i][1] for i in sorted(updates)])
        certificate = Certificate(
            round=view.current.number,
            view=view.current.view,
            included=tuple(sorted(updates)),
            aggregate_hash=aggregate_hash(self.world.terms, merged),
        )
        return self._statement(certificate, merged)

    def _statement(self, certificate: Certificate, merged: bytes) -> MergeReply:
        return MergeReply(
            member=self.index,
            certificate=certificate,
            signature=self.keys.sign(CHAIN_ID, CONTRACT, certificate),
            merged=merged,
        )

    # --- trip 3 --------------------------------------------------------------------------------

    def _open_falsely(self, parcel: Parcel, how: str) -> list[Any]:
        view, request = self.node.view(), parcel.request
        self.call(CertifyCall(certificate=request.certificate, signatures=request.signatures))
        context = round_context(view, view.current.number, view.current.parent)
        senders = request.certificate.included
        if how == "garbage":
            return [OpenReply(member=self.index, opening=b"garbage")]
        if how == "another's opening":
            seen = [r.opening for (_, i), r in self.relay().opens.items() if i != self.index]
            return [OpenReply(member=self.index, opening=seen[-1] if seen else b"")]
        if how == "a false complaint":
            return [self._complaint(request, context, senders)]
        if how == "random shares":
            residues = uniform(self.world.random, DEGREE)
        else:
            senders = senders[1:] if how == "another set" else senders
            residues = self._summed(request, context, senders)
        if how == "a shifted key":
            chosen = range(view.policy.threshold)
            residues = shifted(residues, context, self.index, chosen)
        opening = wire.Opening(
            receiver=self.index, context=context.digest(), senders=senders, residues=residues
        )
        return [OpenReply(member=self.index, opening=wire.write_opening(opening, DEFAULT))]

    def _complaint(self, request: Any, context: RoundContext, senders: Sequence[int]) -> OpenReply:
        """About each dealer, honest or not, with true proofs of what was shared."""
        said = tuple(
            complain(
                self._dealt(request, sender),
                context=context,
                dealer=sender,
                private_key=self.keys.share_key_bytes,
                parameters=DEFAULT,
            )
            for sender in senders
        )
        return OpenReply(member=self.index, complaints=said)

    def _dealt(self, request: Any, sender: int) -> Dealt:
        return Dealt(
            envelope=request.envelopes.get(sender, b""),
            hashes=request.envelope_hashes[sender],
            proof=request.proofs[sender],
        )

    def _summed(self, request: Any, context: RoundContext, senders: Sequence[int]) -> Any:
        """Its honest shares of the senders' keys, added up."""
        shares = [
            held_share(
                self._dealt(request, sender),
                context=context,
                sender=sender,
                receiver=self.index,
                keys={self.keys.encryption_key: self.keys.share_key_bytes},
                parameters=DEFAULT,
            )
            for sender in senders
        ]
        return reduce(modular.add, shares, np.zeros(DEGREE, dtype=np.uint64))
