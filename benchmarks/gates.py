"""How often the DP gates err: alarms on the right build, planted bugs found, bounds on epsilon.

python -m benchmarks.gates [--seeds 150] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr_swarm_attacks.audit import bounds, observe, product_trainer
from flwr_swarm_attacks.audit_gdp import epsilon_of
from flwr_swarm_attacks.gates_project import small_site_gates
from flwr_swarm_attacks.planted import BUGS

NOISE, STEPS = 3.26, 8  # the accountant says 4.0 after so many steps
BUG_SEEDS = 10
ALPHA = 0.05


def alarms(seeds: int, bug: Any = None) -> Counter[str]:
    """How many of so many runs tripped each gate, and how many tripped any."""
    counted: Counter[str] = Counter()
    for _ in range(seeds):
        results = small_site_gates() if bug is None else small_site_gates(bug)
        tripped = {result.gate.split(",")[0] for result in results if result.tripped}
        counted.update(tripped)
        counted["any"] += bool(tripped)
    return counted


def lower_bounds(seeds: int) -> dict[str, list[float]]:
    """Each statistic's bound at alpha .05, for every seed, and the accountant's epsilon."""
    found: dict[str, list[float]] = {name: [] for name in ("fdp", "gdp", "z", "steinke")}
    for seed in range(seeds):
        seen = observe(product_trainer(noise_multiplier=NOISE), canaries=1000, seed=seed)
        one = bounds(seen.scores, alpha=ALPHA, delta=1e-5)
        for name, values in found.items():
            values.append(getattr(one, name))
    truth = epsilon_of(STEPS**0.5 / NOISE, 1e-5)
    return {**found, "accountant": [seen.epsilon], "truth": [truth]}


def main() -> None:
    """Run, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    right = alarms(given.seeds)
    caught = {name: alarms(min(given.seeds, BUG_SEEDS), bug) for name, bug in BUGS.items()}
    found = lower_bounds(min(given.seeds, 50))
    print(f"right build: {right['any']} of {given.seeds} runs with an alarm {dict(right)}")
    for name, counted in caught.items():
        runs = min(given.seeds, BUG_SEEDS)
        gates = ", ".join(f"{gate} {n}" for gate, n in counted.items() if gate != "any")
        print(f"{name:30} found in {counted['any']} of {runs} runs ({gates})")
    for name, values in found.items():
        spread = f"mean {np.mean(values):.2f}, {np.min(values):.2f} to {np.max(values):.2f}"
        print(f"epsilon, {name:12} {spread}")
    if given.json:
        given.json.write_text(
            json.dumps({"seeds": given.seeds, "right": right, "caught": caught, "bounds": found}),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
