"""What members do at the ledger, with their own keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.chain.outbox import Outbox
from flwr_swarm.keystore import Keystore
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.keystore.passwords import from_file
from flwr_swarm.protocol.ledger import ProposeCall, SealCall, VoteCall
from flwr_swarm.protocol.stopped import stopped_terms
from flwr_swarm.protocol.types import Change, Kind

from .acts import site_of
from .scenario import Act

if TYPE_CHECKING:
    from .study import Study


def open_falsely(name: str, to: str) -> Act:
    """All of the relay's is killed; a member opens the next round on the model before the last.

    Another member relays.
    """

    def act(study: Study) -> bool:
        study.relay.kill()
        ledger = _ledger(study, name)
        view = ledger.view()
        current, index = view.current, study.local.names.index(name)
        reveals, keys = view.members[index].reveals, _keys(study, name)
        where = (study.local.chain_id, ledger.contract)
        ledger.submit(
            SealCall(
                round=current.number + 1,
                parent=current.parent,
                payload_hash=os.urandom(32),
                shares_hash=os.urandom(32),
                reveal=keys.secret(*where, reveals),
                commitment=keys.commitment(*where, reveals + 1),
                epsilon=view.members[index].epsilon,
                verified=True,
            )
        )
        study.start_relay(to)
        return True

    return act


def vote(change: Callable[[Study], Change], *whom: str) -> Act:
    """Members propose a change and vote for it, with their own keys."""

    def act(study: Study) -> bool:
        made = change(study)
        for at, name in enumerate(whom):
            ledger = _ledger(study, name)
            number = ledger.proposals()
            ledger.submit(
                ProposeCall(change=made) if at == 0 else VoteCall(proposal=number, support=True)
            )
        return True

    return act


def suspension(index: int) -> Callable[[Study], Change]:
    """Suspend a member."""

    def change(study: Study) -> Change:
        return Change(kind=Kind.SUSPEND, policy=study.ledger.view().policy, seat=index)

    return change


def reinstatement(index: int) -> Callable[[Study], Change]:
    """Vote a member back."""

    def change(study: Study) -> Change:
        return Change(kind=Kind.REINSTATE, policy=study.ledger.view().policy, seat=index)

    return change


def stop_of_study(study: Study) -> Change:
    """Stop the study."""
    policy = study.ledger.view().policy
    return Change(kind=Kind.POLICY, policy=replace(policy, terms=stopped_terms(policy.terms)))


def _ledger(study: Study, name: str) -> ChainLedger:
    return ChainLedger(
        url=study.cluster.url,
        contract=study.ledger.contract,
        key=_keys(study, name).account_key,
        chain_id=study.local.chain_id,
        outbox=Outbox(Keystore(site_of(study, name).keys).outbox),
    )


def _keys(study: Study, name: str) -> MemberKeys:
    folder = site_of(study, name)
    store = Keystore(folder.keys)
    return store.unlock(store.newest, from_file(folder.password))
