"""A pytest plugin: the tests use the artifact that FLWR_SWARM_ARTIFACT names, not the shipped one.

PYTHONPATH=contracts/tools FLWR_SWARM_ARTIFACT=F pytest -p mutant_artifact tests/chain
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from flwr_swarm.chain import artifact


def _load() -> artifact.Artifact:
    raw = json.loads(Path(os.environ["FLWR_SWARM_ARTIFACT"]).read_text(encoding="utf-8"))
    return artifact.Artifact(
        abi=tuple(raw["abi"]),
        bytecode=bytes.fromhex(raw["bytecode"][2:]),
        deployed=bytes.fromhex(raw["deployedBytecode"][2:]),
        charter=bytes.fromhex(raw["charterBytecode"][2:]),
        sources=raw["sources"],
    )


# Loaded with -p, before any test module has imported the name.
artifact.load = _load
