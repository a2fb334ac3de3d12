"""`result.json`: everything that a demo measured, for machines and for the report."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any, Final

from .data import Cohort, Federation
from .models import Score
from .study import Study

_PACKAGES: Final = (
    "flwr-swarm",
    "flwr",
    "torch",
    "opacus",
    "tenseal",
    "eth-account",
    "eth-tester",
    "py-evm",
    "ray",
    "numpy",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def result(study: Study) -> dict[str, Any]:
    """The content of `result.json`; every value is plain JSON."""
    names = [site.name for site in study.data.sites]
    local = [{"site": name, **_score(study.auroc[f"local/{name}"])} for name in names]
    others = {k: _score(s) for k, s in study.auroc.items() if not k.startswith("local/")}
    return {
        "schema": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": _dataset(study.data),
        "parameters": {
            **study.settings.config,
            "shadows": study.settings.shadows,
            "quick": study.settings.quick,
        },
        "seeds": {"training": int(study.settings.config["seed"]), "noise": "operating system"},
        "rounds": study.rounds,
        "auroc": {"local": local, **others},
        "attacks": [{"model": model, **found.to_json()} for model, found in study.attacks],
        "versions": versions(),
        "seconds": study.seconds,
    }


def _score(score: Score) -> dict[str, float]:
    return {
        "value": round(score.value, 4),
        "low": round(score.low, 4),
        "high": round(score.high, 4),
    }


def _dataset(data: Federation) -> dict[str, Any]:
    return {
        "name": data.dataset,
        "outcome": data.outcome,
        "features": list(data.features),
        "sites": [
            {
                "name": site.name,
                "train": len(site.train),
                "held_out": len(site.held_out),
                "outcome_share": _share(site.train),
            }
            for site in data.sites
        ],
        "external": {
            "name": data.external.name,
            "rows": len(data.external),
            "outcome_share": _share(data.external),
        },
    }


def _share(cohort: Cohort) -> float:
    return round(float(cohort.y.mean()), 4)
