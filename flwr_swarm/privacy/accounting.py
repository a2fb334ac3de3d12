"""What a site has spent: the composed history of its DP-SGD rounds, kept in Flower's state."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from flwr.app import ConfigRecord, Context, RecordDict

from .._exceptions import AccountantLost, ConfigurationError
from ..protocol.types import EPSILON_UNIT, NO_CAP

# Opacus is imported where it is used: it takes seconds, and a deployed node starts a fresh process
# for every message, most of which need no accounting.
STATE_KEY: Final = "flwr_swarm.privacy"
_VERSION: Final = 1

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
    """

    charges: tuple[Charge, ...] = ()
    delta: float = 1.0
    rounds: int = 0
    unprotected: int = 0

    def charged(self, charge: Charge, *, delta: float) -> History:
        """The history after one more round that pays `charge` at `delta`."""
        merged = {(c.noise_multiplier, c.sample_rate): c.steps for c in self.charges}
        key = (charge.noise_multiplier, charge.sample_rate)
        merged[key] = merged.get(key, 0) + charge.steps
        return History(
            charges=tuple(
                Charge(noise_multiplier=noise, sample_rate=rate, steps=steps)
                for (noise, rate), steps in merged.items()
            ),
            delta=min(self.delta, delta),
            rounds=self.rounds + 1,
            unprotected=self.unprotected,
        )

    def exposed(self) -> History:
        """The history after one more round without DP."""
        return History(
            charges=self.charges,
            delta=self.delta,
            rounds=self.rounds,
            unprotected=self.unprotected + 1,
        )

    def epsilon(self, *, accountant: Accountant = "rdp") -> float | None:
        """Epsilon spent at `self.delta`; None if DP was never on, infinity if it ever was off.

        Parameters
        ----------
        accountant : {"rdp", "prv"}
            Renyi composition (Mironov 2017; Balle et al. 2020) decides budgets. "prv" (Gopi et
            al. 2021) is tighter and slow (seconds a distinct mechanism): for reports only.

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
        if not self.charges:
            return None
        if self.unprotected:
            return math.inf
        return _prv_epsilon(self) if accountant == "prv" else _rdp_epsilon(self)


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
        columns = [
            list(_as(list, record[k])) for k in ("noise_multipliers", "sample_rates", "steps")
        ]
        charges = tuple(
            Charge(noise_multiplier=_as(float, n), sample_rate=_as(float, q), steps=_as(int, s))
            for n, q, s in zip(*columns, strict=True)
        )
        history = History(
            charges=charges,
            delta=_as(float, record["delta"]),
            rounds=_as(int, record["rounds"]),
            unprotected=_as(int, record["unprotected"]),
        )
        sane = (
            record["version"] == _VERSION
            and 0.0 < history.delta <= 1.0
            and min(history.rounds, history.unprotected) >= 0
            and all(
                c.noise_multiplier > 0 and 0 < c.sample_rate <= 1 < c.steps + 1 for c in charges
            )
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AccountantLost(_DAMAGED) from error
    if not sane:
        raise AccountantLost(_DAMAGED)
    return history


def save_history(source: Context | RecordDict, history: History) -> None:
    """Write `history` into the state that Flower carries from message to message."""
    _state(source)[STATE_KEY] = ConfigRecord(
        {
            "version": _VERSION,
            "delta": float(history.delta),
            "rounds": history.rounds,
            "unprotected": history.unprotected,
            "noise_multipliers": [c.noise_multiplier for c in history.charges],
            "sample_rates": [c.sample_rate for c in history.charges],
            "steps": [c.steps for c in history.charges],
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


def _state(source: Context | RecordDict) -> RecordDict:
    return source.state if isinstance(source, Context) else source


def _as(kind: type[Any], value: object) -> Any:
    if type(value) is not kind:
        raise TypeError(kind.__name__)
    return value


def _rdp_epsilon(history: History) -> float:
    from opacus.accountants import RDPAccountant  # noqa: PLC0415
    from opacus.accountants.analysis.rdp import get_privacy_spent  # noqa: PLC0415

    rdp = sum(
        c.steps * _rdp_of_one_step(c.noise_multiplier, c.sample_rate) for c in history.charges
    )
    with warnings.catch_warnings():
        # "Optimal order is the smallest alpha": the bound holds, it is only less tight.
        warnings.filterwarnings("ignore", message="Optimal order is the")
        epsilon, _ = get_privacy_spent(
            orders=RDPAccountant.DEFAULT_ALPHAS, rdp=rdp, delta=history.delta
        )
    return math.inf if math.isnan(epsilon) else max(0.0, float(epsilon))


@lru_cache(maxsize=4096)
def _rdp_of_one_step(noise_multiplier: float, sample_rate: float) -> np.ndarray[Any, Any]:
    from opacus.accountants import RDPAccountant  # noqa: PLC0415
    from opacus.accountants.analysis.rdp import compute_rdp  # noqa: PLC0415

    with np.errstate(all="ignore"):  # tiny noise overflows to infinity, which is the answer
        rdp = compute_rdp(
            q=sample_rate,
            noise_multiplier=noise_multiplier,
            steps=1,
            orders=RDPAccountant.DEFAULT_ALPHAS,
        )
    # NaN means "not computable"; as infinity the order can never win the minimum.
    return np.where(np.isnan(rdp), np.inf, rdp)


def _prv_epsilon(history: History) -> float:
    from opacus.accountants import PRVAccountant  # noqa: PLC0415

    accountant = PRVAccountant()
    accountant.history = [(c.noise_multiplier, c.sample_rate, c.steps) for c in history.charges]
    return float(accountant.get_epsilon(delta=history.delta))
