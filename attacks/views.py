"""Who looks: each vantage point as a type with the fields that it has, and no more.

An attack takes what it needs (`SeesModel`, `SeesModels`, `SeesSteps`, ...), so that a type checker
refuses it to an onlooker who lacks that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final, Protocol

import torch

State = Mapping[str, torch.Tensor]
"""A model: named arrays."""

SUM: Final = -1
"""Stands for a site where a step is that of several sites together."""


class View(Enum):
    """The vantage points by name; the value is the name in reports and in CI.

    CHAIN_OBSERVER
        The ledger: who sealed, hashes, epsilons. No number of any model.
    OUTSIDER_FINAL_MODEL
        The model that is published when training ends, and the code that trained it.
    MEMBER_EVERY_MODEL
        Every round's global model: what each site receives in order to train.
    LEADER_PLAINTEXT_UPDATE
        A leader with `encryption="none"`, or a server: the global model of a round and each
        site's own update to it, so that site's model in the clear.
    LEADER_ENCRYPTED
        A leader of an encrypted round: ciphertexts, which reveal nothing, and the certified sum,
        which is to say the next global model. Attack that model under this name.
    COALITION
        One member fewer than open a sum, together: what a leader sees, and their own updates, so
        the sum over all others.
    MALICIOUS_RELAY
        A leader or relay that sends a model of its own making, and what comes back.
    """

    CHAIN_OBSERVER = "chain observer: hashes"
    OUTSIDER_FINAL_MODEL = "outsider: final model"
    MEMBER_EVERY_MODEL = "member: every global model"
    LEADER_PLAINTEXT_UPDATE = "leader, encryption=none: single update"
    LEADER_ENCRYPTED = "leader, encryption=threshold: ciphertexts and sum"
    COALITION = "coalition of t-1: sum over the others"
    MALICIOUS_RELAY = "malicious leader or relay: crafted model"


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One round of training as someone sees it.

    Parameters
    ----------
    before : State
        The global model that was trained on.
    after : mapping of int to State
        Site to the model that came back, or `SUM` to the mean over several.
    """

    before: State = field(repr=False)
    after: Mapping[int, State] = field(repr=False)


class SeesModel(Protocol):
    """Whoever has the final model."""

    @property
    def model(self) -> State: ...


class SeesModels(Protocol):
    """Whoever has every global model, the initial one first."""

    @property
    def models(self) -> tuple[State, ...]: ...


class SeesSteps(Protocol):
    """Whoever sees what training made of a model, by site or in sum."""

    @property
    def steps(self) -> tuple[Step, ...]: ...


class SeesCiphertexts(Protocol):
    """Whoever has what sites sealed; by round, then by site."""

    @property
    def ciphertexts(self) -> tuple[Mapping[int, bytes], ...]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainObserver:
    """Reads the contract: its history, as the evidence of a run holds it."""

    ledger: Mapping[str, Any] = field(repr=False)
    view: ClassVar[View] = View.CHAIN_OBSERVER


@dataclass(frozen=True, kw_only=True, eq=False)
class Outsider:
    """Was given the final model."""

    model: State = field(repr=False)
    view: ClassVar[View] = View.OUTSIDER_FINAL_MODEL


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """Took part, and was sent every global model."""

    models: tuple[State, ...] = field(repr=False)
    view: ClassVar[View] = View.MEMBER_EVERY_MODEL

    @property
    def model(self) -> State:
        """The last one."""
        return self.models[-1]

    @property
    def steps(self) -> tuple[Step, ...]:
        """From each model to the next: what all sites made of it together."""
        pairs = zip(self.models[:-1], self.models[1:], strict=True)
        return tuple(Step(before=before, after={SUM: after}) for before, after in pairs)


@dataclass(frozen=True, kw_only=True, eq=False)
class LeaderPlaintext:
    """Merges updates that it can read."""

    steps: tuple[Step, ...] = field(repr=False)
    view: ClassVar[View] = View.LEADER_PLAINTEXT_UPDATE


@dataclass(frozen=True, kw_only=True, eq=False)
class LeaderEncrypted:
    """Merges ciphertexts, and knows the opened mean of each round under `SUM`."""

    steps: tuple[Step, ...] = field(repr=False)
    ciphertexts: tuple[Mapping[int, bytes], ...] = field(repr=False)
    view: ClassVar[View] = View.LEADER_ENCRYPTED

    @property
    def models(self) -> tuple[State, ...]:
        """Every global model: what the sums lead to."""
        return (self.steps[0].before, *(step.after[SUM] for step in self.steps))


@dataclass(frozen=True, kw_only=True, eq=False)
class Coalition:
    """Some members who subtract their own updates; the mean over all others is under `SUM`."""

    members: tuple[int, ...]
    steps: tuple[Step, ...] = field(repr=False)
    view: ClassVar[View] = View.COALITION


@dataclass(frozen=True, kw_only=True, eq=False)
class MaliciousRelay:
    """Sent a crafted model.

    Parameters
    ----------
    crafted : State
    answers : mapping of int to State
        Site to what it made of the crafted model. Sites that refused are missing.
    sealed : mapping of int to bytes
        Site to the ciphertext of it, where that is what came back.
    refusals : mapping of int to str
        Site to the error with which it answered.
    """

    crafted: State = field(repr=False)
    answers: Mapping[int, State] = field(repr=False)
    refusals: Mapping[int, str]
    sealed: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    view: ClassVar[View] = View.MALICIOUS_RELAY

    @property
    def steps(self) -> tuple[Step, ...]:
        """What came back, as a step."""
        return (Step(before=self.crafted, after=self.answers),)
