"""`swarm_mod`: what a ClientApp sees. Runs a member's part of every swarm message."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

from flwr.app import Context, Message, MessageType, RecordDict

from . import privacy
from ._exceptions import (
    CapacityExceeded,
    LedgerError,
    NotPrivate,
    ProtocolError,
    SwarmError,
    TrainingFailed,
    TransactionRefused,
    UpdateMismatch,
    WrongChain,
)
from .chain.client import ChainLedger
from .flower import read, records, write
from .flower.compat import with_content
from .flower.keys import MemberKeys
from .flower.replay import replay
from .flower.state import load_keys, load_memory, save_keys, save_memory
from .protocol.ledger import AbstainCall, Ledger
from .protocol.lineage import check_offer
from .protocol.member import SwarmMember, due_calls
from .protocol.merge import merge
from .protocol.messages import Place, SealRequest
from .protocol.open import certify, release
from .protocol.payload import Layout, encode_plain
from .protocol.seal import Task, begin_seal, finish_seal
from .protocol.terms import Terms
from .protocol.types import EPSILON_UNIT, NO_CAP, LedgerView
from .protocol.update import difference

log = logging.getLogger("flwr.swarm")

CHAIN_OPTION: Final = "swarm-chain"
NAME_OPTION: Final = "swarm-name"
CONTRACT_OPTION: Final = "swarm-contract"
PLAINTEXT_VARIABLE: Final = "FLWR_SWARM_ACCEPT_PLAINTEXT"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
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
    own chain node) and ``swarm-contract``. Without ``swarm-chain`` only a chain on this machine is
    used. The environment variable ``FLWR_SWARM_ACCEPT_PLAINTEXT=1`` agrees to swarms with
    ``encryption="none"``.

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
        keys = load_keys(context)
        if keys is None:
            raise ProtocolError(
                f"this site got a swarm's {phase!r} message before it enrolled; the relay must "
                "start the run with SwarmStrategy"
            )
        place = fields.place()
        site = _Site(
            context=context,
            ledger=_connect(place, keys, context),
            member=SwarmMember(
                identity=keys,
                memory=load_memory(context),
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
        keys = load_keys(context)
        if keys is None:
            keys = MemberKeys.generate()
            save_keys(context, keys)
        return write.enrol_reply(keys.enrol(request, _label(context)))


swarm_mod = SwarmMod()
"""The mod with the site's own defaults."""


@dataclass(frozen=True, kw_only=True)
class _Site:
    """One member while it answers one message."""

    context: Context
    ledger: Ledger
    member: SwarmMember

    def abstain(self, number: int) -> None:
        """Tell the ledger that nobody need wait for this member. Best effort."""
        try:
            self.ledger.submit(AbstainCall(round=number))
        except LedgerError as error:
            log.warning("could not abstain from round %d: %s", number, error)

    def end_what_is_due(self) -> LedgerView:
        """Submit what deadlines allow; another member may be faster, which is as good."""
        view = self.ledger.view()
        calls = due_calls(view, max(view.now, int(time.time())))
        for call in calls:
            try:
                self.ledger.submit(call)
            except TransactionRefused as error:
                log.info("%s was not needed: %s", type(call).__name__, error.reason)
        return self.ledger.view() if calls else view


def _label(context: Context) -> str:
    """What the site calls itself in logs and reports."""
    named = context.node_config.get(NAME_OPTION)
    if named is not None:
        return str(named)
    return f"site {context.node_config.get('partition-id', context.node_id)}"


def _connect(place: Place, keys: MemberKeys, context: Context) -> Ledger:
    """The site's own way to the chain; the relay's URL counts only on this machine."""
    contract = context.node_config.get(CONTRACT_OPTION)
    if contract is not None and str(contract).lower() != place.contract.lower():
        raise WrongChain(
            f"this site's node config names contract {contract}, the relay {place.contract}; "
            "nothing was done"
        )
    url = context.node_config.get(CHAIN_OPTION)
    if url is None:
        url = place.chain_url
        if not _on_this_machine(url):
            raise WrongChain(
                f"the relay names the chain node {url}, which is not on this machine; name the "
                f"site's own in its node config: {CHAIN_OPTION}='http://…'"
            )
    return ChainLedger(
        url=str(url), contract=place.contract, key=keys.account_key, chain_id=place.chain_id
    )


def _on_this_machine(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port out of range shows here
    except ValueError:
        return False
    return host in _LOOPBACK


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


def _offered(message: Message) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model and the strategy's server state in a message."""
    _, arrays = records.only_arrays(message.content, "the message")
    state = message.content.array_records.get(records.STATE)
    return records.numpy_arrays(arrays), records.numpy_arrays(state) if state else {}


# --- trip 1 ------------------------------------------------------------------------------------


def _seal(site: _Site, request: SealRequest, message: Message, call_next: Next) -> Answer:
    _expect(message, MessageType.TRAIN)
    view = site.ledger.view()
    model, state = _offered(message)
    task = begin_seal(site.member, request, view, model, state)
    _, terms, me = site.member.accept(request.place, view)
    try:
        privacy.reconcile(site.context.state, me.epsilon)
        charged = privacy.load_history(site.context.state).rounds
        reply = call_next(_stripped(message), site.context)
        _check_private(site.context, view, charged)
        layout, content = _encoded(reply, task, terms)
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
            epsilon=max(privacy.micro_epsilon(site.context.state), me.epsilon),
            random=os.urandom,
        )
    except SwarmError:
        site.abstain(request.round)
        raise
    except Exception as error:
        site.abstain(request.round)
        log.exception("the train function failed in round %d", request.round)
        raise _failed("train", error) from None
    save_memory(site.context, sealing.memory)
    try:
        site.ledger.submit(sealing.call)
    except TransactionRefused:
        site.abstain(request.round)
        raise
    return write.seal_reply(sealing.reply)


def _failed(what: str, error: Exception) -> TrainingFailed:
    """What the relay may know of an error in the user's code: Flower sends exceptions to it."""
    return TrainingFailed(
        f"the {what} function raised {type(error).__name__}; its text may hold data and stays in "
        "this site's log"
    )


def _check_private(context: Context, view: LedgerView, charged: int) -> None:
    """Under a budget, an update that was charged to no accountant is not sealed."""
    if view.policy.epsilon_cap == NO_CAP:
        return
    if privacy.load_history(context.state).rounds <= charged:
        raise NotPrivate(
            f"the contract caps epsilon at {view.policy.epsilon_cap / EPSILON_UNIT:g}, but this "
            "site trained without differential privacy; call make_private(...) in the train "
            "function, with a noise_multiplier above 0"
        )


def _encoded(reply: Message, task: Task, terms: Terms) -> tuple[Layout, Any]:
    """The user's reply as lanes to encrypt, or as the baseline's plaintext payload."""
    if reply.has_error() or not reply.has_content():
        raise UpdateMismatch("the train function returned no content; nothing was sealed")
    arrays_name, arrays = records.only_arrays(reply.content, "the training reply")
    metrics_name, metrics = records.only_metrics(reply.content, terms.weight_key)
    trained = records.numpy_arrays(arrays)
    vector = difference(trained, task.parent.model)
    values = {name: value for name, value in metrics.items() if name != terms.weight_key}
    layout = tuple((n, len(v) if isinstance(v, list) else 0) for n, v in sorted(values.items()))
    if terms.encryption == "none":
        content = encode_plain(trained, dict(metrics), (arrays_name, metrics_name))
        return layout, content
    flat: list[float] = []
    for name, _ in layout:
        value = values[name]
        if isinstance(value, list) and not value:
            raise UpdateMismatch(f"metric {name!r} is an empty list; leave it out")
        flat += [float(v) for v in value] if isinstance(value, list) else [float(value)]
    weight = float(cast(float, metrics[terms.weight_key]))
    try:
        lanes = terms.codec().encode(vector, weight=weight, metrics=flat, random=os.urandom)
    except CapacityExceeded as error:
        log.warning("%s", error)
        raise CapacityExceeded(
            f"the weight or a metric is outside its public bound (weights: above 0, at most "
            f"{terms.max_weight:g}); its value stays in this site's log. Raise "
            "SwarmStrategy(max_weight=...), or do not report the metric"
        ) from None
    return layout, lanes


def _evaluate(site: _Site, request: SealRequest, message: Message, call_next: Next) -> Message:
    """Evaluate on a model that the swarm certified, or refuse."""
    view = site.ledger.view()
    memory, terms, _ = site.member.accept(request.place, view)
    model, state = _offered(message)
    check_offer(site.member, request.proof, view, terms, model, state)
    _expect(message, MessageType.EVALUATE)
    save_memory(site.context, memory)
    try:
        return call_next(_stripped(message), site.context)
    except SwarmError:
        raise
    except Exception as error:
        log.exception("the evaluate function failed after round %d", request.proof.round)
        raise _failed("evaluate", error) from None


# --- trips 2 and 3 -----------------------------------------------------------------------------


def _merge(site: _Site, fields: read.Fields) -> Answer:
    request = fields.merge_request()
    memory, reply = merge(site.member, request, site.end_what_is_due())
    save_memory(site.context, memory)
    return write.merge_reply(reply)


def _open(site: _Site, fields: read.Fields) -> Answer:
    request = fields.open_request()
    view = site.ledger.view()
    for call in certify(site.member, request, view):
        try:
            site.ledger.submit(call)
        except TransactionRefused as error:
            # Several holders submit at once; whoever is first is as good as all.
            log.info("certificate of round %d: %s", request.certificate.round, error.reason)
        view = site.ledger.view()
    if site.member.accept(request.place, view)[1].encryption == "none":
        return write.swarm_records("open", {})
    memory, reply = release(site.member, request, view)
    save_memory(site.context, memory)
    return write.open_reply(reply)


def _nudge(site: _Site, fields: read.Fields) -> Answer:
    request = fields.nudge_request()
    site.member.accept(request.place, site.ledger.view())
    site.end_what_is_due()
    return write.swarm_records("nudge", {})
