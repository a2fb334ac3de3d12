"""The shipped artifact is what the pinned compiler makes of the sources in contracts/."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
ARTIFACT = ROOT / "flwr_swarm" / "chain" / "artifacts" / "Swarm.json"
CODE_LIMIT = 24_576


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"contracts_{name}", CONTRACTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def artifact() -> dict[str, object]:
    return json.loads(ARTIFACT.read_text())


def test_the_artifact_names_the_sources_as_they_are(artifact: dict[str, object]) -> None:
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in CONTRACTS.glob("*.sol")
    }
    assert "Swarm.sol" in digests
    assert artifact["sources"] == digests, "stale; run: python contracts/build.py"


def test_the_compiler_is_pinned_with_its_hash(artifact: dict[str, object]) -> None:
    manifest = json.loads((CONTRACTS / "package.json").read_text())
    lock = json.loads((CONTRACTS / "package-lock.json").read_text())
    assert manifest["dependencies"] == {"solc": "0.8.37"}
    for name, version in manifest["optionalDependencies"].items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    locked = {name: entry for name, entry in lock["packages"].items() if name}
    assert locked["node_modules/solc"]["version"] == "0.8.37"
    assert all(entry["integrity"].startswith("sha512-") for entry in locked.values())
    assert not any("resolved" in entry for entry in locked.values()), "names a registry host"
    assert artifact["compiler"].startswith("0.8.37+")


def test_the_code_fits_and_is_for_chains_since_paris(artifact: dict[str, object]) -> None:
    for half in ("deployedBytecode", "charterBytecode"):
        assert len(artifact[half]) // 2 - 1 < CODE_LIMIT
    assert artifact["settings"]["evmVersion"] == "paris"


def test_nothing_in_the_contract_is_payable_or_owned(artifact: dict[str, object]) -> None:
    for entry in artifact["abi"]:
        assert entry.get("stateMutability") != "payable"
        assert entry["type"] != "receive"
    acting = {
        e["name"]
        for e in artifact["abi"]
        if e.get("stateMutability") == "nonpayable" and "name" in e
    }
    # Each is named in contracts/proofs, but the two that need no seat: a batch's own call, and
    # the enactment of what has passed, which Swarm has already called when it could do anything.
    members = {"seal", "sealBatch", "abstain", "late", "close", "certify", "advance"}
    assert acting == members | {"propose", "vote", "accuse", "sealSigned", "enactPending"}
    proofs = (CONTRACTS / "proofs" / "Proofs.t.sol").read_text()
    assert {name for name in acting if f"Surface.{name}," in proofs} == acting - {"enactPending"}


def test_every_fault_finds_its_line() -> None:
    """A contract that changes takes its faults along, or `make mutants` would plant fewer."""
    faults = module("faults")
    assert len(faults.FAULTS) == len({fault.name for fault in faults.FAULTS}) >= 24
    for fault in faults.FAULTS:
        text = (CONTRACTS / fault.file).read_text()
        assert fault.planted(text) != text


@pytest.mark.node
def test_building_again_gives_the_same_bytes() -> None:
    if not (CONTRACTS / "node_modules" / "solc").is_dir():
        pytest.fail("the compiler is not installed; run: make contracts")
    build = module("build")
    assert build.render(build.compile_contracts()) == ARTIFACT.read_text()
