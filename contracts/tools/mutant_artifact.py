"""A pytest plugin: the tests use the artifact that FLWR_SWARM_ARTIFACT names, not the shipped one.

PYTHONPATH=contracts/tools FLWR_SWARM_ARTIFACT=F pytest -p mutant_artifact tests/chain
"""

from __future__ import annotations

import json
import os
import sys
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


# Before any test module; but importing the package has bound the name in modules of its own.
_shipped = artifact.load
for _name, _module in list(sys.modules.items()):
    if _name.startswith("flwr_swarm") and getattr(_module, "load", None) is _shipped:
        _module.load = _load
