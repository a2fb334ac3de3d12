"""The shipped artifact is what the pinned compiler makes of the sources in contracts/."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
ARTIFACT = ROOT / "flwr_swarm" / "chain" / "artifacts" / "Swarm.json"
CODE_LIMIT = 24_576


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    assert len(artifact["deployedBytecode"]) // 2 - 1 < CODE_LIMIT
    assert artifact["settings"]["evmVersion"] == "paris"
    assert artifact["immutableReferences"] == {}  # so that one code hash fits every swarm


def test_nothing_in_the_contract_is_payable_or_owned(artifact: dict[str, object]) -> None:
    for entry in artifact["abi"]:
        assert entry.get("stateMutability") != "payable"
        assert entry["type"] not in {"fallback", "receive"}
    acting = {
        e["name"]
        for e in artifact["abi"]
        if e.get("stateMutability") == "nonpayable" and "name" in e
    }
    assert acting == {"seal", "abstain", "close", "certify", "advance"}


@pytest.mark.node
def test_building_again_gives_the_same_bytes() -> None:
    if not (CONTRACTS / "node_modules" / "solc").is_dir():
        pytest.fail("the compiler is not installed; run: make contracts-check")
    build = builder()
    assert build.render(build.compile_contracts()) == ARTIFACT.read_text()
