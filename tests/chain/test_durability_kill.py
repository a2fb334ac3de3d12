"""kill -9 of the server during transactions loses none that it acknowledged."""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "durability.py"


@pytest.fixture(scope="module")
def durability() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_durability", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("after", [3, 40])
def test_nothing_acknowledged_is_lost_and_every_block_comes_back(
    durability: ModuleType, tmp_path: Path, after: int
) -> None:
    run = durability.kill_once(tmp_path, transactions=80, after=after)
    assert run.acknowledged >= after
    assert (run.lost, run.blocks_changed) == (0, 0)
    assert run.state_root_equal
    # One record is written at a time, so one at most was written and not yet acknowledged.
    assert run.written_unacknowledged <= 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_and_it_says_what_it_is(
    durability: ModuleType, tmp_path: Path, number: signal.Signals
) -> None:
    with durability.Server(tmp_path) as server:
        assert "FOR DEVELOPMENT ONLY" in server.said
        assert f"chain {durability.CHAIN_ID}, 0 blocks" in server.said
        assert "development" in server.node.request("web3_clientVersion", [])
        logged = server.end(number)
        assert "FOR DEVELOPMENT ONLY" in logged
        assert "Traceback" not in logged
        assert server.process.returncode == 0


def test_a_second_server_on_the_folder_is_refused_and_the_first_goes_on(
    durability: ModuleType, tmp_path: Path
) -> None:
    with durability.Server(tmp_path) as first:
        with pytest.raises(RuntimeError, match="FolderInUse: another process serves"):
            durability.Server(tmp_path)
        assert first.node.request("eth_blockNumber", []) == "0x0"
