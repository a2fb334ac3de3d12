"""The privacy ledger: what each site spent, and what a patient of the federation may have lost.

Epsilon on chain is composed in Renyi DP, in a moment, before each round. Reports compose the same
charges as privacy-loss variables, which is tighter and slow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flwr.app import Context, RecordDict

from .._exceptions import AccountantLost, ConfigurationError
from .accounting import Accountant, Charge, History, load_history
from .shared import SharedCharge


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One site in the ledger.

    Parameters
    ----------
    site : str
    units : int
        Its patients, or records where each is a unit of its own.
    history : History
        Every charge: noise multiplier, the rate that was really sampled at, steps.
    """

    site: str
    units: int
    history: History

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ConfigurationError(f"site {self.site} must have 1 patient or more")
        if self.history.rounds and self.history.delta * self.units >= 1:
            raise ConfigurationError(
                f"site {self.site} was charged at delta {self.history.delta:.1e}, which is not "
                "below one over its patients: to publish one of them would count as private"
            )

    @classmethod
    def of(cls, source: Context | RecordDict, *, site: str, units: int) -> Entry:
        """What the accountant in a Flower context says."""
        return cls(site=site, units=units, history=load_history(source))

    def epsilon(self, accountant: Accountant = "prv") -> float:
        """What the site's patients lost at most, at the site's delta.

        Infinity where rounds without DP were among them, or nothing but such rounds; 0 where it
        never trained.
        """
        spent = self.history.epsilon(accountant=accountant)
        if spent is None:
            return math.inf if self.history.unprotected else 0.0
        return spent

    def to_json(self) -> dict[str, Any]:
        """Plain data, `from_json` of which is this entry."""
        return {"site": self.site, "units": self.units, "history": asdict(self.history)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Entry:
        """What another site exported.

        Raises
        ------
        AccountantLost
            If it is anything else.
        """
        try:
            told = dict(data["history"])
            charges = tuple(Charge(**each) for each in told.pop("charges"))
            shared = tuple(SharedCharge(**each) for each in told.pop("shared"))
            history = History(charges=charges, shared=shared, **told)
            entry = cls(site=str(data["site"]), units=int(data["units"]), history=history)
            paid: list[Charge | SharedCharge] = [*charges, *shared]
            numbers = [value for charge in paid for value in asdict(charge).values()]
            sane = (
                _written(entry.to_json()) == _written(dict(data))
                and type(history.rounds) is type(history.unprotected) is int
                and all(type(v) in (int, float) and math.isfinite(v) and v > 0 for v in numbers)
                and all(charge.sample_rate <= 1 for charge in paid)
                and 0 < history.delta <= 1
                and min(history.rounds, history.unprotected) >= 0
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            sane = False
        if not sane:
            raise AccountantLost("an entry of the privacy ledger is malformed; export it again")
        return entry


def _written(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What one patient lost at most: (epsilon, delta)-DP of all that the federation published."""

    epsilon: float
    delta: float
    sites: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PrivacyLedger:
    """All sites of a federation.

    Parameters
    ----------
    entries : tuple of Entry
        One a site.
    together : tuple of frozenset of str
        Sets of sites that may have treated one patient, each of whom is then in all of them.
        Without any, no two sites share a patient.
    """

    entries: tuple[Entry, ...]
    together: tuple[frozenset[str], ...] = field(default=())

    def __post_init__(self) -> None:
        names = [entry.site for entry in self.entries]
        unknown = sorted(frozenset().union(*self.together) - set(names))
        if not names or len(set(names)) != len(names) or unknown:
            raise ConfigurationError(
                f"a privacy ledger needs every site once, got {sorted(names)}, and knows no "
                f"{unknown}"
            )

    def losses(self, accountant: Accountant = "prv") -> tuple[Loss, ...]:
        """For a patient of each site alone, and for one of each set of sites: the sum over it.

        Sites train on what each other published, which is composition: epsilons and deltas add.
        """
        alone = (frozenset([entry.site]) for entry in self.entries)
        by_name = {entry.site: entry for entry in self.entries}
        spent = {entry.site: entry.epsilon(accountant) for entry in self.entries}
        losses = []
        for group in dict.fromkeys([*alone, *self.together]):
            trained = [by_name[name].history for name in sorted(group)]
            losses.append(
                Loss(
                    epsilon=math.fsum(spent[name] for name in group),
                    delta=math.fsum(h.delta for h in trained if h.charges or h.shared),
                    sites=tuple(sorted(group)),
                )
            )
        return tuple(losses)

    def federation(self, accountant: Accountant = "prv") -> Loss:
        """What the patient lost who lost most. Sites with disjoint patients: the maximum over them.

        Its delta is the largest of any loss, so that it holds for everybody.
        """
        losses = self.losses(accountant)
        worst = max(losses, key=lambda loss: loss.epsilon)
        return Loss(
            epsilon=worst.epsilon, delta=max(loss.delta for loss in losses), sites=worst.sites
        )

    def check(self) -> None:
        """Raise ConfigurationError unless delta is below one over the smallest site's patients."""
        smallest = min(self.entries, key=lambda entry: entry.units)
        worst = max(loss.delta for loss in self.losses("rdp"))
        if worst * smallest.units >= 1:
            raise ConfigurationError(
                f"the federation's delta {worst:.1e} is not below one over the {smallest.units} "
                f"patients of site {smallest.site}; charge at a smaller delta from the start"
            )


def everybody_anywhere(entries: Iterable[Entry]) -> PrivacyLedger:
    """The ledger where nobody knows who was treated where: a patient may be at every site."""
    sites = tuple(entries)
    return PrivacyLedger(entries=sites, together=(frozenset(entry.site for entry in sites),))
