"""What a site has spent: the composed history of its DP-SGD rounds, kept in Flower's state."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Literal, TypeVar

from flwr.app import ConfigRecord, Context, RecordDict

from .._exceptions import AccountantLost, ConfigurationError
from ..protocol.types import EPSILON_UNIT, NO_CAP
from .composition import prv_epsilon, rdp_epsilon
from .shared import SharedCharge

STATE_KEY: Final = "flwr_swarm.privacy"
_VERSION: Final = 1
_VERSION_SHARED: Final = 2
"""Of records that hold shared noise, which older versions of this package would overlook."""

Accountant = Literal["rdp", "prv"]


@dataclass(frozen=True, kw_only=True)
class Charge:
    """`steps` equal steps of the Poisson-sampled Gaussian mechanism.

    Parameters
    ----------
    noise_multiplier : float
        Standard deviation of the noise over the clipping norm.
    sample_rate : float
        Probability with which each record enters a step, in (0, 1].
    steps : int
    """

    noise_multiplier: float
    sample_rate: float
    steps: int

    @property
    def mechanism(self) -> tuple[float, float]:
        """What makes two charges the same but for their steps."""
        return self.noise_multiplier, self.sample_rate


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything a site was ever charged, under add-or-remove-one-record adjacency.

    Parameters
    ----------
    charges : tuple of Charge
        In order of first use; equal mechanisms are merged, which leaves epsilon unchanged.
    delta : float
        The smallest delta any round asked for, so that epsilon never falls; 1 before the first.
    rounds : int
        Rounds charged.
    unprotected : int
        Rounds trained with DP switched off; with one of them epsilon is infinite.
    shared : tuple of SharedCharge
        Steps whose noise the members of a swarm added together.
    """

    charges: tuple[Charge, ...] = ()
    delta: float = 1.0
    rounds: int = 0
    unprotected: int = 0
    shared: tuple[SharedCharge, ...] = ()

    def charged(self, charge: Charge | SharedCharge, *, delta: float) -> History:
        """The history after one more round that pays `charge` at `delta`."""
        own, shared = self.charges, self.shared
        if isinstance(charge, SharedCharge):
            shared = _merged((*shared, charge))
        else:
            own = _merged((*own, charge))
        return replace(
            self,
            charges=own,
            shared=shared,
            delta=min(self.delta, delta),
            rounds=self.rounds + 1,
        )

    def exposed(self) -> History:
        """The history after one more round without DP."""
        return replace(self, unprotected=self.unprotected + 1)

    def epsilon(self, *, accountant: Accountant = "rdp") -> float | None:
        """Epsilon spent at `self.delta`; None if DP was never on, infinity if it ever was off.

        Parameters
        ----------
        accountant : {"rdp", "prv"}
            Renyi composition (Mironov 2017; Balle et al. 2020) decides budgets. "prv" (Gopi et
            al. 2021) is tighter and slow (seconds a distinct mechanism): for reports only. It
            knows no shared noise; a history with some is composed by "rdp" all the same.

        Raises
        ------
        ConfigurationError
            For any other accountant. Opacus' "gdp" is an approximation that reports too little.
        """
        if accountant not in ("rdp", "prv"):
            raise ConfigurationError(
                f"accountant must be 'rdp' or 'prv', got {accountant!r}; "
                "Opacus' 'gdp' under-reports epsilon and is never used for claims"
            )
        if not (self.charges or self.shared):
            return None
        if self.unprotected:
            return math.inf
        if accountant == "prv" and not self.shared:
            return prv_epsilon(self.charges, self.delta)
        return rdp_epsilon(self.charges, self.shared, self.delta)


def load_history(source: Context | RecordDict) -> History:
    """Read the history from a Flower context or its state; empty if there is none.

    Raises
    ------
    AccountantLost
        If the record is there but is not one that `save_history` wrote.
    """
    record = _state(source).config_records.get(STATE_KEY)
    if record is None:
        return History()
    try:
        history = History(
            charges=tuple(_read(record, Charge, _OWN)),
            delta=_as(float, record["delta"]),
            rounds=_as(int, record["rounds"]),
            unprotected=_as(int, record["unprotected"]),
            shared=tuple(_read(record, SharedCharge, _SHARED)) if _SHARED[0][1] in record else (),
        )
        paid: list[Charge | SharedCharge] = [*history.charges, *history.shared]
        sane = (
            record["version"] == (_VERSION_SHARED if history.shared else _VERSION)
            and 0.0 < history.delta <= 1.0
            and min(history.rounds, history.unprotected) >= 0
            and all(c.noise_multiplier > 0 and 0 < c.sample_rate <= 1 < c.steps + 1 for c in paid)
            and all(c.sensitivity > 0 and c.size > 0 for c in history.shared)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AccountantLost(_DAMAGED) from error
    if not sane:
        raise AccountantLost(_DAMAGED)
    return history


def save_history(source: Context | RecordDict, history: History) -> None:
    """Write `history` into the state that Flower carries from message to message."""
    columns = _columns(history.charges, _OWN)
    if history.shared:
        columns |= _columns(history.shared, _SHARED)
    _state(source)[STATE_KEY] = ConfigRecord(
        {
            "version": _VERSION_SHARED if history.shared else _VERSION,
            "delta": float(history.delta),
            "rounds": history.rounds,
            "unprotected": history.unprotected,
            **columns,
        }
    )


def epsilon_spent(source: Context | RecordDict, *, accountant: Accountant = "rdp") -> float | None:
    """Epsilon that this site has spent over all its rounds.

    Parameters
    ----------
    source : Context or RecordDict
        The Flower context, or its `state`.
    accountant : {"rdp", "prv"}
        See `History.epsilon`.

    Returns
    -------
    float or None
        None if DP was never on; infinity if rounds with and without DP were mixed.
    """
    return load_history(source).epsilon(accountant=accountant)


def micro_epsilon(source: Context | RecordDict) -> int:
    """Epsilon spent in units of 1 / `EPSILON_UNIT`, rounded up: what the site seals on chain.

    Zero if DP was never on (a swarm with a cap must then ask `epsilon_spent`, which says None);
    `NO_CAP`, which no finite cap admits, if epsilon is infinite.
    """
    spent = epsilon_spent(source)
    if spent is None:
        return 0
    if math.isinf(spent):
        return NO_CAP
    return min(math.ceil(Fraction(spent) * EPSILON_UNIT), NO_CAP)


def reconcile(source: Context | RecordDict, chain_micro_epsilon: int) -> None:
    """Check the local accountant against what the chain remembers of this site.

    The local one may be ahead: a round is charged before it is sealed.

    Parameters
    ----------
    source : Context or RecordDict
    chain_micro_epsilon : int
        Cumulative micro-epsilon in the member's record on chain.

    Raises
    ------
    AccountantLost
        If the chain remembers more: the state was reset, and training on would overspend.
    """
    local = micro_epsilon(source)
    if chain_micro_epsilon > local:
        raise AccountantLost(
            f"the chain remembers epsilon {chain_micro_epsilon / EPSILON_UNIT:.6f} of this site, "
            f"its accountant only {local / EPSILON_UNIT:.6f}; restore the site's memory (below its "
            "keystore), or let the consortium vote on a new budget for this site"
        )


_DAMAGED: Final = (
    f"the record {STATE_KEY!r} in this node's Flower state is damaged; restore the state from a "
    "backup, training on without it would forget what was spent"
)


_Paid = TypeVar("_Paid", Charge, SharedCharge)
_Fields = tuple[tuple[str, str, type[Any]], ...]
_OWN: Final[_Fields] = (
    ("noise_multiplier", "noise_multipliers", float),
    ("sample_rate", "sample_rates", float),
    ("steps", "steps", int),
)
_SHARED: Final[_Fields] = (
    ("noise_multiplier", "shared_noise_multipliers", float),
    ("sample_rate", "shared_sample_rates", float),
    ("steps", "shared_steps", int),
    ("sensitivity", "shared_sensitivities", float),
    ("size", "shared_sizes", int),
)


def _merged(charges: tuple[_Paid, ...]) -> tuple[_Paid, ...]:
    """Charges in order of first use, each mechanism once."""
    merged: dict[Any, _Paid] = {}
    for charge in charges:
        before = merged.get(charge.mechanism)
        steps = charge.steps + (before.steps if before else 0)
        merged[charge.mechanism] = replace(charge, steps=steps)
    return tuple(merged.values())


def _columns(charges: Iterable[Any], fields: _Fields) -> dict[str, Any]:
    return {column: [getattr(c, name) for c in charges] for name, column, _ in fields}


def _read(record: ConfigRecord, kind: type[_Paid], fields: _Fields) -> list[_Paid]:
    columns = [_as(list, record[column]) for _, column, _ in fields]
    return [
        kind(**{name: _as(sort, v) for (name, _, sort), v in zip(fields, row, strict=True)})
        for row in zip(*columns, strict=True)
    ]


def _state(source: Context | RecordDict) -> RecordDict:
    return source.state if isinstance(source, Context) else source


def _as(kind: type[Any], value: object) -> Any:
    if type(value) is not kind:
        raise TypeError(kind.__name__)
    return value
