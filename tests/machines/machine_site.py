"""A member's site: what is on its disk, and each message's steps, between which it can crash.

The order of the steps is the adapter's (`flwr_swarm/mod.py`). What a step has not written to the
disk is gone after a crash; what has left the site cannot be taken back, so it goes to the book.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from machine_disk import Disk
from machine_world import Node, Parcel, World, keys_of

from flwr_swarm._exceptions import (
    KeyDrawn,
    LedgerError,
    ModelRefused,
    SwarmError,
    TransactionRefused,
)
from flwr_swarm.flower import replay as replaying
from flwr_swarm.protocol import lineage, merge, seal
from flwr_swarm.protocol import member as member_module
from flwr_swarm.protocol import open as open_module
from flwr_swarm.protocol import recall as recalling
from flwr_swarm.protocol.hashing import Arrays, model_hash
from flwr_swarm.protocol.ledger import AbstainCall, LateCall, SealCall
from flwr_swarm.protocol.member import SwarmMember, certificate_digest
from flwr_swarm.protocol.memory import Memory
from flwr_swarm.protocol.messages import RecallReply, RecallRequest
from flwr_swarm.protocol.types import Certificate, LedgerView, Phase
from flwr_swarm.protocol.update import difference

Steps = Generator[str, None, Any]
WEIGHTS = (120.0, 80.0, 200.0, 40.0, 160.0, 90.0, 10.0)
LAYOUT = (("loss", 0),)
CHARGE = 1000
"""Micro-epsilon of one round's training."""


class Site:
    """One honest member.

    Parameters
    ----------
    world : World
    index : int
    keystore : bool
        Whether promises are kept beside the keys, as with `swarm-keys`.
    skew : int
        Seconds that this site's clock is ahead of the others'.
    """

    def __init__(self, world: World, index: int, *, keystore: bool, skew: int = 0) -> None:
        self.world = world
        self.index = index
        self.keys = keys_of(index)
        self.node = Node(world, self.keys.account)
        self.disk = Disk()
        self.keystore = keystore
        self.skew = skew
        self.up = True
        self.running: Steps | None = None
        self.at = ""

    # --- running, crashing, coming back ----------------------------------------------------------

    def start(self, parcel: Parcel, stop: int | None = None) -> Any:
        """Answer a message; with `stop`, stand still after that many steps."""
        self.running = self._steps(parcel)
        return self.go_on(stop)

    def go_on(self, stop: int | None = None) -> Any:
        """The reply, or None if there is none (yet)."""
        assert self.running is not None
        try:
            while stop is None or stop > 0:
                self.at = next(self.running)
                stop = None if stop is None else stop - 1
        except StopIteration as end:
            self.running = None
            return end.value
        except SwarmError as error:
            self.running = None
            self.world.reached[type(error).__name__] += 1
        return None

    def crash(self) -> None:
        """Everything but the disk is gone; what comes back is what was written, byte for byte."""
        if self.running is not None:
            self.world.reached[f"crash after {self.at}"] += 1
            self.running.close()
            self.running = None
        self.node.silent, self.node.swallows = 0, False
        self.disk.read_again()

    def forget(self) -> None:
        """A new run: Flower's state of the old one is gone, the keystore is not."""
        assert self.keystore
        self.crash()
        self.disk.memory = Memory()
        self.world.book.forgot(self.index)
        self.world.reached["state lost"] += 1

    @property
    def member(self) -> SwarmMember:
        return SwarmMember(identity=self.keys, memory=self.disk.memory, replay=replaying.replay)

    # --- one message -----------------------------------------------------------------------------

    def _steps(self, parcel: Parcel) -> Steps:
        handlers: dict[str, Callable[[Parcel], Steps]] = {
            "seal": self._seal,
            "merge": self._merge,
            "open": self._open,
            "evaluate": self._evaluate,
            "nudge": self._nudge,
        }
        return handlers[parcel.kind](parcel)

    def _seal(self, parcel: Parcel) -> Steps:
        request = parcel.request
        view = self.node.view()
        yield "reading the ledger to seal"
        offered = model_hash(parcel.model, parcel.state)
        again = seal.seal_again(self.member, request, view, offered=offered)
        if again is not None:
            self.world.reached["sealed again"] += 1
            if again.call is not None:
                self._submit(again.call)
                yield "sealing again"
            self.world.book.handed_out(again.reply)
            return again.reply
        try:
            task = seal.begin_seal(self.member, request, view, parcel.model, parcel.state)
            replaying.check_state(task.terms, parcel.model, parcel.state)
        except (ModelRefused, KeyDrawn) as error:
            if view.current.phase is Phase.SEALING or isinstance(error, KeyDrawn):
                self._abstain(request.round)
            raise
        self.world.book.sealing(self.index, view, request.proof, task.parent, task.verified)
        self.disk.memory = task.memory
        yield "saving the model"
        self.disk.epsilon += CHARGE
        yield "charging its budget"
        lanes = self.lanes(request.round, task.parent.model)
        yield "training"
        self.disk.memory = seal.intend(task)
        yield "saving its intent"
        sealing = seal.finish_seal(
            self.member,
            task,
            request,
            view,
            layout=LAYOUT,
            content=lanes,
            epsilon=max(self.disk.epsilon, task.me.epsilon),
            random=self.world.random,
        )
        self.world.book.drew(self.index, request.round)
        yield "encrypting"
        self.world.book.encrypted(self.index, sealing.call.payload_hash, sealing.reply, lanes)
        self.disk.memory = sealing.memory
        yield "saving what it seals"
        self._submit(sealing.call)
        yield "sealing"
        self.world.book.handed_out(sealing.reply)
        return sealing.reply

    def _submit(self, call: SealCall) -> None:
        try:
            self.node.submit(call)
        except TransactionRefused as error:
            current = self.node.view().current
            if current.number == call.round and any(
                one.payload_hash == call.payload_hash for one in current.seals
            ):
                return
            if error.reason == "SealingClosed":
                self._best_effort(LateCall(round=call.round, epsilon=call.epsilon))
            else:
                self._abstain(call.round)
            raise

    def _merge(self, parcel: Parcel) -> Steps:
        view = self._end_what_is_due()
        yield "reading the ledger to merge"
        memory, reply = merge.merge(self.member, parcel.request, view)
        yield "merging"
        self._promise("sign", reply.certificate, view)
        yield "promising to sign"
        self.disk.memory = memory
        yield "saving what it signs"
        self.world.book.signed(reply)
        return reply

    def _open(self, parcel: Parcel) -> Steps:
        request = parcel.request
        view = self.node.view()
        yield "reading the ledger to open"
        for call in open_module.certify(self.member, request, view):
            try:
                self.node.submit(call)
            except TransactionRefused as error:
                self.world.reached[f"certificate refused: {error.reason}"] += 1
            yield "certifying"
            view = self.node.view()
        self.member.accept(request.place, view, settling=True)
        memory, reply = open_module.release(self.member, request, view)
        yield "adding its shares"
        self._promise("open", request.certificate, view)
        yield "promising to open"
        self.disk.memory = memory
        yield "saving what it opens"
        self.world.book.released(reply, request.certificate.round)
        return reply

    def _evaluate(self, parcel: Parcel) -> Steps:
        request = parcel.request
        view = self.node.view()
        memory, terms, _ = self.member.accept(request.place, view)
        lineage.check_offer(self.member, request.proof, view, terms, parcel.model, parcel.state)
        yield "checking a model to evaluate"
        self.disk.memory = memory
        offered = self.world.keep(parcel.model, parcel.state)
        self.world.book.took(self.index, view, request.proof, offered)
        self.world.reached["evaluated"] += 1

    def recall(self, request: RecallRequest) -> RecallReply | None:
        """What another relay hears from this site; None if it is down or its node is."""
        if not self.up:
            return None
        try:
            return recalling.recall(self.member, request, self.node.view())
        except SwarmError as error:
            self.world.reached[type(error).__name__] += 1
            return None

    def _nudge(self, parcel: Parcel) -> Steps:
        self.member.accept(parcel.request.place, self.node.view())
        yield "being nudged"
        self._end_what_is_due()

    # --- parts -----------------------------------------------------------------------------------

    def lanes(self, number: int, model: Arrays) -> Any:
        """Train: a step that depends on member, round and model; then clip, weigh and quantise."""
        trained = {
            name: (array + 0.01 * (self.index + 1) + 0.001 * number).astype(array.dtype)
            for name, array in model.items()
        }
        return self.world.terms.codec().encode(
            difference(trained, model),
            weight=WEIGHTS[self.index],
            metrics=[1.0 / (number + self.index + 1)],
            random=self.world.random,
        )

    def _end_what_is_due(self) -> LedgerView:
        view = self.node.view()
        calls = member_module.due_calls(view, max(view.now, self.world.clock + self.skew))
        for call in calls:
            try:
                self.node.submit(call)
            except TransactionRefused as error:
                self.world.reached[f"not due: {error.reason}"] += 1
        return self.node.view() if calls else view

    def _promise(self, kind: Any, certificate: Certificate, view: LedgerView) -> None:
        if self.keystore:
            self.world.promises(self.index).keep(
                kind,
                chain_id=view.chain_id,
                contract=view.contract,
                account=self.keys.account,
                number=certificate.round,
                view=certificate.view,
                digest=certificate_digest(certificate),
            )

    def _abstain(self, number: int) -> None:
        self._best_effort(AbstainCall(round=number))

    def _best_effort(self, call: Any) -> None:
        try:
            self.node.submit(call)
        except LedgerError as error:
            self.world.reached[f"{type(call).__name__} failed: {type(error).__name__}"] += 1
