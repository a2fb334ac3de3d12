"""Import what warns while it is imported, before warnings become errors; a small real result."""

import copy
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Flower's typer still uses a deprecated name of click's
    import flwr.clientapp
    import opacus

__all__ = ["flwr", "opacus"]

_SCORE = {"value": 0.73, "low": 0.70, "high": 0.76}
_ATTACK = {
    "view": "outsider: final model",
    "attack": "LiRA online",
    "auc": 0.51,
    "auc_low": 0.49,
    "auc_high": 0.53,
    "tpr_at_1pct_fpr": 0.012,
    "tpr_low": 0.005,
    "tpr_high": 0.02,
    "members": 100,
    "non_members": 80,
    "targets": 1,
    "shadows": 16,
}
_RESULT = {
    "schema": 1,
    "created": "2026-01-02T03:04:05+00:00",
    "dataset": {
        "name": "support2",
        "outcome": "death in hospital",
        "features": ["age"],
        "sites": [
            {"name": f"Site {k}", "train": 100, "held_out": 60, "outcome_share": 0.25}
            for k in range(4)
        ],
        "external": {"name": "others", "rows": 50, "outcome_share": 0.4},
    },
    "parameters": {"epsilon-budget": 8.0, "delta": 1e-5, "rounds": 2},
    "seeds": {"training": 1, "noise": "operating system"},
    "rounds": [
        {
            "round": number,
            "status": "certified",
            "leader": number,
            "succession": [number, 0, 3],
            "committee": [0, 1, 2, 3],
            "included": [0, 1, 2, 3],
            "aggregate_hash": f"{number:064x}",
            "certificate": {"view": 0, "signers": [0, 1, 3]},
            "parent_hash": "ab" * 32,
            "epsilon": {str(k): 1.0 + number * 0.5 + k for k in range(4)},
            "seconds": {"seal": 1.0, "merge": 0.2, "open": 0.3},
            "loss": 0.5,
        }
        for number in (1, 2)
    ],
    "auroc": {
        "local": [{"site": f"Site {k}", **_SCORE} for k in range(4)],
        "pooled": _SCORE,
        "federated": _SCORE,
        "swarm": _SCORE,
    },
    "attacks": [{"model": "swarm", **_ATTACK}],
    "versions": {"python": "3.11"},
    "seconds": {"swarm": 1.0},
}


@pytest.fixture
def result():
    """A well-formed `result.json`, free to change."""
    return copy.deepcopy(_RESULT)
