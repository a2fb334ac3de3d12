"""Faults to plant, one check taken away in each, and the machine that must notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import machine_disk
import pytest
from machine_base import RoundMachine
from machine_rules import Byzantine, Forking, Hostile

from flwr_swarm._exceptions import WireError
from flwr_swarm.chain import founding, merging
from flwr_swarm.encryption import holding
from flwr_swarm.encryption.dealing_wire import read_complaint
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.flower import replay
from flwr_swarm.protocol import blame, lineage, member, merge, quorum, recall, relay, seal
from flwr_swarm.protocol import open as open_module
from flwr_swarm.protocol.payload import parse_payload
from flwr_swarm.protocol.types import Phase

Patch = pytest.MonkeyPatch


def openings_are_forgotten(patch: Patch) -> None:
    """A holder does not look up for which set it released its shares."""
    real = open_module.release

    def release(site: Any, request: Any, view: Any) -> Any:
        return real(replace(site, memory=replace(site.memory, opened={})), request, view)

    patch.setattr(open_module, "release", release)


def any_certificate_opens(patch: Patch) -> None:
    """A holder believes the certificate in the message instead of the ledger's."""
    real = open_module.release

    def release(site: Any, request: Any, view: Any) -> Any:
        changes = {"certificate": request.certificate, "phase": Phase.CERTIFIED}
        return real(site, request, replace(view, current=replace(view.current, **changes)))

    patch.setattr(open_module, "release", release)


def threshold_is_too_small(patch: Patch) -> None:
    """2t <= n + f: two sets may have t openers each without a common honest one."""
    real = quorum.smallest_threshold
    patch.setattr(quorum, "smallest_threshold", lambda members: max(2, real(members) - 1))
    patch.setattr(member, "check_protects", lambda policy, members: None)
    patch.setattr(founding, "check_policy", lambda policy, taken: None)


def models_are_not_compared(patch: Patch) -> None:
    """An officer says that it recomputed whatever model it is offered."""

    def recomputed(site: Any, offered: bytes, proof: Any, view: Any, terms: Any) -> bool:
        last = member.last_certified(view)
        return last is not None and lineage.held_sum(site, last) is not None

    patch.setattr(seal, "recomputed", recomputed)
    patch.setattr(lineage, "recomputed", recomputed)


def payloads_are_not_compared(patch: Patch) -> None:
    """An officer adds up what it is given, sealed or not."""
    real = merge._matching

    def matching(request: Any, current: Any, terms: Any) -> Any:
        def given(seal: Any) -> Any:
            try:
                parsed = parse_payload(terms, *request.updates[seal.member], seal.member)
            except (KeyError, WireError):
                return seal
            return replace(seal, payload_hash=parsed.hash)

        return real(request, replace(current, seals=tuple(map(given, current.seals))), terms)

    patch.setattr(merge, "_matching", matching)


def copies_are_added(patch: Patch) -> None:
    """A ciphertext that two members sealed is in the sum twice."""
    patch.setattr(merge, "_copied", lambda request: frozenset())


def signatures_are_forgotten(patch: Patch) -> None:
    """An officer does not look up what it signed in this view."""
    real = merge.merge

    def merges(site: Any, request: Any, view: Any) -> Any:
        return real(replace(site, memory=replace(site.memory, signed={})), request, view)

    patch.setattr(merge, "merge", merges)


def memory_is_not_written(patch: Patch) -> None:
    """What a site signed and opened does not outlive a crash."""
    real = machine_disk.through_bytes
    patch.setattr(
        machine_disk, "through_bytes", lambda memory: replace(real(memory), signed={}, opened={})
    )


def signers_are_not_counted(patch: Patch) -> None:
    """The ledger takes a certificate from anybody."""
    patch.setattr(merging, "_check_signers", lambda state, round_, signers, call: None)


def deadlines_end_nothing(patch: Patch) -> None:
    """No member ends what a deadline has ended."""
    patch.setattr(member, "due_calls", lambda view, now: ())


def leaders_stay(patch: Patch) -> None:
    """Nobody replaces a leader that missed its turn."""
    real = member.due_calls

    def due(view: Any, now: int) -> Any:
        return () if view.current.phase is Phase.MERGING else real(view, now)

    patch.setattr(member, "due_calls", due)


def one_liar_spoils_an_opening(patch: Patch) -> None:
    """The relay tries one choice of openings only."""

    def first(holders: Any, size: int, seed: bytes) -> Iterator[Any]:
        yield tuple(holders[:size])

    patch.setattr(relay, "_subsets", first)


def any_server_state_is_taken(patch: Patch) -> None:
    """The first round's server state is whatever the relay says."""
    patch.setattr(replay, "check_state", lambda terms, model, state: None)


def seals_are_not_recalled(patch: Patch) -> None:
    """A member tells another relay nothing of what it sealed."""
    real = recall.recall

    def recalled(site: Any, request: Any, view: Any) -> Any:
        return replace(real(site, request, view), given=None)

    patch.setattr(recall, "recall", recalled)


def another_round_is_recalled(patch: Patch) -> None:
    """Asked about a round, a member answers with the one before."""
    real = recall.recall

    def recalled(site: Any, request: Any, view: Any) -> Any:
        return real(site, replace(request, round=request.round - 1), view)

    patch.setattr(recall, "recall", recalled)


def recalled_sums_are_not_compared(patch: Patch) -> None:
    """Another relay takes the first sum that it is told."""
    patch.setattr(
        recall,
        "found_sum",
        lambda certified, replies, policy: next((r.held for r in replies if r.held), None),
    )


def recalled_models_are_not_compared(patch: Patch) -> None:
    """Another relay takes the first model that it is told."""
    patch.setattr(recall, "found_model", lambda wanted, candidates: next(iter(candidates), None))


def intents_are_ignored(patch: Patch) -> None:
    """A member that was interrupted forgets what it sealed, and draws another key."""
    real = seal.begin_seal

    def begins(site: Any, request: Any, view: Any, model: Any, state: Any) -> Any:
        return real(
            replace(site, memory=replace(site.memory, intended=0)), request, view, model, state
        )

    patch.setattr(seal, "begin_seal", begins)
    patch.setattr(seal, "seal_again", lambda site, request, view, offered: None)


def complaints_are_believed(patch: Patch) -> None:
    """Nobody verifies a complaint."""
    patch.setattr(
        blame,
        "complainer",
        lambda view, evidence: read_complaint(evidence.complaint, DEFAULT).holder,
    )


def complaints_are_not_heard(patch: Patch) -> None:
    """No complaint proves anything to anybody."""
    patch.setattr(blame, "complainer", lambda view, evidence: None)


def good_shares_are_complained_about(patch: Patch) -> None:
    """A holder complains about shares that fit."""
    patch.setattr(holding, "fits", lambda share, proof, hashes, context, receiver: False)
    patch.setattr(holding, "upheld", lambda *said, **rest: True)


FAULTS: tuple[tuple[Callable[[Patch], None], type[RoundMachine], str], ...] = (
    (openings_are_forgotten, Forking, "released shares for"),
    (threshold_is_too_small, Forking, "two sets of round"),
    (any_certificate_opens, Hostile, "without certificate"),
    (signers_are_not_counted, Hostile, "the leader did not sign|certified by|a forged vote"),
    (models_are_not_compared, Hostile, "nobody certified|than the honest model|different models"),
    (copies_are_added, Byzantine, "a copied ciphertext"),
    (memory_is_not_written, Hostile, "signed two merges|released shares for"),
    (deadlines_end_nothing, Hostile, "stands still"),
    (leaders_stay, Byzantine, "stands still"),
    (one_liar_spoils_an_opening, Byzantine, "none was opened"),
    (good_shares_are_complained_about, Byzantine, "blamed honest member"),
)
RECALLS = (seals_are_not_recalled, another_round_is_recalled)
"""Found by `test_resumed_anywhere`, where another relay takes over after each trip."""
