"""`swarm_mod`: what a ClientApp sees. Runs a member's part of every swarm message."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from flwr.app import Context, Message, MessageType, RecordDict

from . import privacy
from ._exceptions import (
    KeyDrawn,
    ModelRefused,
    ProtocolError,
    StudyStopped,
    SwarmError,
    TransactionRefused,
)
from .flower import read, records, write
from .flower.compat import with_content
from .flower.identity import enrolling_keys, keys_of, opening_keys
from .flower.replay import check_state, replay
from .flower.reporting import answer_report
from .flower.sharing import evaluated, offer_noise
from .flower.site import Site, connect, label
from .flower.state import load_memory
from .flower.update import check_private, encoded, failed, offered
from .protocol.hashing import model_hash
from .protocol.ledger import SealCall
from .protocol.lineage import check_offer
from .protocol.member import SwarmMember
from .protocol.merge import merge
from .protocol.messages import SealRequest
from .protocol.open import certify, release
from .protocol.recall import recall
from .protocol.seal import begin_seal, finish_seal, intend, seal_again
from .protocol.types import Phase
from .protocol.update import check_model

log = logging.getLogger("flwr.swarm")

PLAINTEXT_VARIABLE: Final = "FLWR_SWARM_ACCEPT_PLAINTEXT"
_GUARDED: Final = (MessageType.TRAIN, MessageType.EVALUATE)

Next = Callable[[Message, Context], Message]
Answer = write.Records


@dataclass(frozen=True, kw_only=True)
class SwarmMod:
    """A Flower mod that makes a ClientApp a swarm member.

    Put `swarm_mod` first in ``ClientApp(mods=[swarm_mod, ...])``. It handles the swarm's own
    messages, and around the user's train function checks the model before and seals the update
    after. A train or evaluate message from outside the swarm is refused: answering it would hand
    the relay what the swarm protects. Other messages pass.

    The site decides, in its own node config, what the relay cannot: ``swarm-chain`` (URL of its
    own chain node), ``swarm-contract`` and ``swarm-keys`` (its keystore, with
    ``swarm-password-file`` or the environment's ``FLWR_SWARM_PASSWORD``). Without
    ``swarm-chain`` only a chain on this machine is used. A site votes by itself to suspend a
    member that is proven to have dealt bad key shares; ``swarm-votes = "manual"`` leaves that to
    its people. The environment variable
    ``FLWR_SWARM_ACCEPT_PLAINTEXT=1`` agrees to swarms with ``encryption="none"``.

    Parameters
    ----------
    accept_plaintext : bool or None
        Whether this site agrees to ``encryption="none"``; None asks the environment.
    """

    accept_plaintext: bool | None = None

    def __call__(self, message: Message, context: Context, call_next: Next) -> Message:
        """Answer a swarm message, or pass on one that cannot touch the site's data."""
        kind = message.metadata.message_type.split(".")[0]
        if not message.has_content() or records.FIELDS not in message.content.config_records:
            if kind in _GUARDED:
                raise ProtocolError(
                    f"this site answers {kind} messages only as a member of a swarm, and this one "
                    "comes from a plain strategy; wrap it in SwarmStrategy(...), or remove "
                    "swarm_mod from the ClientApp to train without protection"
                )
            return call_next(message, context)
        fields = read.Fields(message.content)
        phase = fields.phase
        if phase == "enrol":
            return _reply(message, self._enrol(fields, context))
        keys = keys_of(context)
        if keys is None:
            raise ProtocolError(
                f"this site got a swarm's {phase!r} message before it enrolled; the relay must "
                "start the run with SwarmStrategy"
            )
        place = fields.place()
        site = Site(
            context=context,
            place=place,
            ledger=connect(place, keys, context),
            member=SwarmMember(
                identity=keys,
                memory=load_memory(context, chain_id=place.chain_id, contract=place.contract),
                replay=replay,
                accept_plaintext=self._accepts_plaintext(),
            ),
        )
        if phase == "evaluate":
            return _evaluate(site, fields.seal_request(), message, call_next)
        handlers: dict[str, Callable[[], Answer]] = {
            "seal": lambda: _seal(site, fields.seal_request(), message, call_next),
            "merge": lambda: _merge(site, fields),
            "open": lambda: _open(site, fields),
            "nudge": lambda: _nudge(site, fields),
            "report": lambda: _report(site, fields),
            "recall": lambda: _recall(site, fields),
        }
        if phase not in handlers:
            raise ProtocolError(f"unknown swarm phase {phase!r}; install the relay's version here")
        return _reply(message, handlers[phase]())

    def _accepts_plaintext(self) -> bool:
        if self.accept_plaintext is not None:
            return self.accept_plaintext
        return os.environ.get(PLAINTEXT_VARIABLE) == "1"

    def _enrol(self, fields: read.Fields, context: Context) -> Answer:
        """Make keys at first contact, and sign who this node is."""
        request = fields.enrol_request()
        return write.enrol_reply(enrolling_keys(context).enrol(request, label(context)))


swarm_mod = SwarmMod()
"""The mod with the site's own defaults."""


def _reply(message: Message, answer: Answer) -> Message:
    return Message(RecordDict(cast(dict[str, Any], answer)), reply_to=message)


def _expect(message: Message, kind: str) -> None:
    """Refuse a phase that would run another of the user's functions than the phase is about.

    An evaluation message of type "train" would hand the relay a trained model in the clear.
    """
    if message.metadata.message_type.split(".")[0] != kind:
        raise ProtocolError(
            f"a swarm's {kind} request came as a message of type "
            f"{message.metadata.message_type!r}; nothing was run"
        )


def _stripped(message: Message) -> Message:
    """The message as the user's app would have got it from a stock strategy."""
    return with_content(records.without_ours(message.content), message.metadata)


# --- trip 1 ------------------------------------------------------------------------------------


def _seal(site: Site, request: SealRequest, message: Message, call_next: Next) -> Answer:
    _expect(message, MessageType.TRAIN)
    view = site.ledger.view()
    model, state = offered(message)
    try:
        again = seal_again(site.member, request, view, offered=model_hash(model, state))
    except StudyStopped:
        if view.current.phase is Phase.SEALING:
            site.abstain(request.round)  # whoever opened this round meant to go on regardless
        raise
    if again is not None:
        log.info("round %d was sealed before; the same seal is sent again", request.round)
        if again.call is not None:
            _submit(site, again.call)
        return write.seal_reply(again.reply)
    try:
        task = begin_seal(site.member, request, view, model, state)
        check_state(task.terms, model, state)
    except (ModelRefused, KeyDrawn) as error:
        if view.current.phase is Phase.SEALING or isinstance(error, KeyDrawn):
            site.abstain(request.round)  # nobody need wait, and the ledger hears of the refusal
        raise
    try:
        check_model(task.terms, model)
        site.remember(task.memory)
        privacy.reconcile(site.context.state, task.me.epsilon)
        charged = offer_noise(site.context, task.terms, view.policy, model)
        reply = call_next(_stripped(message), site.context)
        check_private(site.context, view, charged)
        site.member.accept(request.place, site.ledger.view())  # not if it was stopped meanwhile
        layout, content = encoded(reply, task, site.context)
        site.remember(intend(task))
        sealing = finish_seal(
            site.member,
            task,
            request,
            view,
            layout=layout,
            content=content,
            asked=records.asked_hash(
                message.content, message.metadata.message_type, site.context.run_config
            ),
            epsilon=max(privacy.micro_epsilon(site.context.state), task.me.epsilon),
            random=os.urandom,
        )
        site.remember(sealing.memory)
    except SwarmError:
        site.abstain(request.round)
        raise
    except Exception as error:
        site.abstain(request.round)
        log.exception("the train function failed in round %d", request.round)
        raise failed("train", error) from None
    _submit(site, sealing.call)
    return write.seal_reply(sealing.reply)


def _submit(site: Site, call: SealCall) -> None:
    """Bring a seal to the ledger, where it may be already; a refusal is the round's loss."""
    try:
        site.ledger.submit(call)
    except TransactionRefused as error:
        current = site.ledger.view().current
        if current.number == call.round and any(
            seal.payload_hash == call.payload_hash for seal in current.seals
        ):
            return  # an earlier try arrived after all
        if error.reason == "SealingClosed":
            site.report_late(call.round, call.epsilon)
        else:
            site.abstain(call.round)
        raise


def _evaluate(site: Site, request: SealRequest, message: Message, call_next: Next) -> Message:
    """Evaluate on a model that the swarm certified, or refuse."""
    view = site.ledger.view()
    memory, terms, _ = site.member.accept(request.place, view)
    model, state = offered(message)
    check_offer(site.member, request.proof, view, terms, model, state)
    _expect(message, MessageType.EVALUATE)
    site.remember(memory)
    try:
        return evaluated(call_next, _stripped(message), site.context)
    except SwarmError:
        raise
    except Exception as error:
        log.exception("the evaluate function failed after round %d", request.proof.round)
        raise failed("evaluate", error) from None


# --- trips 2 and 3 -----------------------------------------------------------------------------


def _merge(site: Site, fields: read.Fields) -> Answer:
    request = fields.merge_request()
    view = site.end_what_is_due()
    memory, reply = merge(site.member, request, view)
    site.promise("sign", reply.certificate, view)
    site.remember(memory)
    return write.merge_reply(reply)


def _open(site: Site, fields: read.Fields) -> Answer:
    request = fields.open_request()
    view = site.ledger.view()
    for call in certify(site.member, request, view):
        try:
            site.ledger.submit(call)
        except TransactionRefused as error:
            # Several holders submit at once; whoever is first is as good as all.
            log.info("certificate of round %d: %s", request.certificate.round, error.reason)
        view = site.ledger.view()
    # A certificate enacts what waited for it: this member's new keys, or new terms.
    keys = opening_keys(site.context)
    if keys is not None:
        site = replace(site, member=replace(site.member, identity=keys))
    if site.member.accept(request.place, view, settling=True)[1].encryption == "none":
        return write.swarm_records("open", {})
    memory, reply = release(site.member, request, view)
    site.promise("open", request.certificate, view)
    site.remember(memory)
    return write.open_reply(reply)


def _nudge(site: Site, fields: read.Fields) -> Answer:
    request = fields.nudge_request()
    site.member.accept(request.place, site.ledger.view())
    site.end_what_is_due(asked=True)
    return write.swarm_records("nudge", {})


def _report(site: Site, fields: read.Fields) -> Answer:
    answer_report(site, fields.report_request())
    return write.swarm_records("report", {})


def _recall(site: Site, fields: read.Fields) -> Answer:
    return write.recall_reply(recall(site.member, fields.recall_request(), site.ledger.view()))
