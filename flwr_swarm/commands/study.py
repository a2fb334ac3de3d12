"""Stopping a study by vote, and starting it again: which terms such a proposal names.

The chain holds hashes of terms. Which of them a stopped study had is found among the policies
that ever held, in the contract's events.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._exceptions import ConfigurationError
from ..chain.events import EventStore
from ..protocol.stopped import stopped_terms
from . import policies

if TYPE_CHECKING:
    from ..protocol.types import LedgerView, Policy


@dataclass(frozen=True)
class Turn:
    """A change that is about the study as a whole, in few words and in more."""

    title: str
    words: str


STOP: Final = Turn(
    "stop the study", "every site refuses to train until the members vote its terms back"
)
RESTART: Final = Turn("start the study again", "by the terms that it was stopped on")


def stop_settings(view: LedgerView, url: str, timeout: float) -> list[str]:
    """The settings of a proposal that stops the study.

    Raises
    ------
    ConfigurationError
        It is stopped already.
    """
    # In the first epoch nothing was ever voted for, and an urgent stop need not read the chain.
    if view.epoch > 1 and _terms_before(view, _past_terms(view, url, timeout)) is not None:
        raise ConfigurationError(
            "the study is stopped already; flwr-swarm member vote --restart starts it again"
        )
    return [_setting(stopped_terms(view.policy.terms))]


def restart_settings(
    view: LedgerView, url: str, settings: Sequence[str], timeout: float
) -> list[str]:
    """The settings of a proposal that starts a stopped study again, with `settings` beside them.

    Where they name the terms themselves, the chain's past need not be read.

    Raises
    ------
    ConfigurationError
        The study is not stopped, or had other terms.
    """
    named = [setting for setting in settings if setting.partition("=")[0].strip() == "terms"]
    if named:
        given = policies.adjusted(view.policy, named).terms
        if _terms_before(view, [given]) is None:
            raise ConfigurationError(
                f"the study was not stopped on the terms 0x{given.hex()}; leave them out, and they "
                "are looked up on the chain"
            )
        return []
    found = _terms_before(view, _past_terms(view, url, timeout))
    if found is None:
        raise ConfigurationError(
            f"the study is not stopped: its terms 0x{view.policy.terms.hex()} are ones that a "
            "relay can name; nothing to start again"
        )
    return [_setting(found)]


def turn(old: Policy, new: Policy) -> Turn | None:
    """What a change of policy does to the study, if it stops or restarts it."""
    if new.terms == stopped_terms(old.terms):
        return STOP
    return RESTART if old.terms == stopped_terms(new.terms) else None


def _setting(terms: bytes) -> str:
    return f"terms=0x{terms.hex()}"


def _terms_before(view: LedgerView, candidates: Sequence[bytes]) -> bytes | None:
    return next((t for t in candidates if stopped_terms(t) == view.policy.terms), None)


def _past_terms(view: LedgerView, url: str, timeout: float) -> list[bytes]:
    """The terms of every policy that ever held."""
    with tempfile.TemporaryDirectory(prefix="flwr-swarm-") as folder:
        store = EventStore(
            path=Path(folder) / "events.sqlite",
            url=url,
            contract=view.contract,
            chain_id=view.chain_id,
            timeout=timeout,
        )
        store.sync()
        logged = [*store.events("Founded"), *store.events("PolicyChanged")]
    return [bytes.fromhex(event.fields["policy"]["terms"].removeprefix("0x")) for event in logged]
