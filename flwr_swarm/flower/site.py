"""One member while it answers one message: its context, its ledger, its protocol logic."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from flwr.app import Context

from .._exceptions import LedgerError, TransactionRefused, WrongChain
from ..chain.client import ChainLedger
from ..chain.outbox import Outbox
from ..chain.patience import PatientMember
from ..keystore import Keystore
from ..keystore.keys import MemberKeys
from ..keystore.promises import Kind, Promises
from ..protocol.ledger import AbstainCall, LateCall, Ledger
from ..protocol.member import SwarmMember, certificate_digest, due_calls
from ..protocol.memory import Memory
from ..protocol.messages import Place
from ..protocol.types import Certificate, LedgerView
from .state import KEYS_OPTION, save_memory

log = logging.getLogger("flwr.swarm")

CHAIN_OPTION: Final = "swarm-chain"
NAME_OPTION: Final = "swarm-name"
CONTRACT_OPTION: Final = "swarm-contract"
PATIENCE_OPTION: Final = "swarm-chain-seconds"
"""How long a site waits for a chain that is away, for a restart of its node for instance."""
_PATIENCE: Final = 120.0
_NEVER: Final = 2**62
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, kw_only=True)
class Site:
    """One member while it answers one message."""

    context: Context
    place: Place
    ledger: Ledger
    member: SwarmMember

    def remember(self, memory: Memory) -> None:
        """Write down what this member must not forget, before anything leaves it.

        Raises
        ------
        MemoryDamaged
            The disk refused; then nothing may leave.
        """
        save_memory(
            self.context,
            memory,
            chain_id=self.place.chain_id,
            contract=self.place.contract,
        )

    def abstain(self, number: int) -> None:
        """Tell the ledger that nobody need wait for this member. Best effort."""
        try:
            self.ledger.submit(AbstainCall(round=number))
        except LedgerError as error:
            log.warning("could not abstain from round %d: %s", number, error)

    def report_late(self, number: int, epsilon: int) -> None:
        """Tell the ledger what training cost, after sealing has closed. Best effort."""
        try:
            self.ledger.submit(LateCall(round=number, epsilon=epsilon))
        except LedgerError as error:
            log.warning("could not report round %d as late: %s", number, error)

    def promise(self, kind: Kind, certificate: Certificate, view: LedgerView) -> None:
        """Write down beside the keys what is about to be signed or opened, before it leaves.

        The site's memory lives as long as Flower keeps it, its keystore's account for longer.
        Keys that were made for one run need no more than that run's memory.

        Raises
        ------
        ProtocolError, AlreadyOpened
            Another certificate stands there.
        """
        folder = self.context.node_config.get(KEYS_OPTION)
        if folder is None:
            return
        Promises(Keystore(Path(str(folder))).promises).keep(
            kind,
            chain_id=view.chain_id,
            contract=view.contract,
            account=self.member.identity.account,
            number=certificate.round,
            view=certificate.view,
            digest=certificate_digest(certificate),
        )

    def end_what_is_due(self, *, asked: bool = False) -> LedgerView:
        """Submit what deadlines allow; another member may be faster, which is as good.

        Parameters
        ----------
        asked : bool
            Try although this site's clock says that it is too early: the chain's clock decides,
            and its refusal costs nothing.
        """
        view = self.ledger.view()
        now = max(view.now, int(time.time()))
        calls = due_calls(view, _NEVER if asked else now)
        for call in calls:
            try:
                self.ledger.submit(call)
            except TransactionRefused as error:
                log.info("%s was not needed: %s", type(call).__name__, error.reason)
        return self.ledger.view() if calls else view


def label(context: Context) -> str:
    """What the site calls itself in logs and reports."""
    named = context.node_config.get(NAME_OPTION)
    if named is not None:
        return str(named)
    return f"site {context.node_config.get('partition-id', context.node_id)}"


def connect(place: Place, keys: MemberKeys, context: Context) -> Ledger:
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
    folder = context.node_config.get(KEYS_OPTION)
    ledger = ChainLedger(
        url=str(url),
        contract=place.contract,
        key=keys.account_key,
        chain_id=place.chain_id,
        # The commands send as the same account, so they share one outbox with the site.
        outbox=None if folder is None else Outbox(Keystore(Path(str(folder))).outbox),
    )
    seconds = float(cast(float, context.node_config.get(PATIENCE_OPTION, _PATIENCE)))
    return PatientMember(ledger=ledger, seconds=seconds)


def _on_this_machine(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port out of range shows here
    except ValueError:
        return False
    return host in _LOOPBACK
