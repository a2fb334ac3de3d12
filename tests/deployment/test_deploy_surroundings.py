"""What reaches which process: the chain the ServerApp, the password the ClientApp alone."""

import sys
import time

import pytest

from flwr_swarm import Consortium, SwarmStrategy
from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.deployment import processes
from flwr_swarm.deployment.child import Child
from flwr_swarm.deployment.session import Session
from flwr_swarm.deployment.surroundings import ROLE, of_relay, of_site
from flwr_swarm.keystore.passwords import PASSWORD_VARIABLE

CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
CHAIN = "http://127.0.0.1:8545"


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ("FLWR_SWARM_CHAIN", "FLWR_SWARM_CONTRACT", PASSWORD_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_the_relay_never_gets_the_password(local, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse battery")
    site = local.sites[0]
    relay = of_relay(site, role="superlink:a", mark="m", chain=CHAIN, contract=CONTRACT)
    assert PASSWORD_VARIABLE not in relay
    assert "correct horse battery" not in relay.values()
    assert of_site(site, role="supernode:a", mark="m")[PASSWORD_VARIABLE]


def test_flower_installs_nothing_reports_nothing_and_keeps_to_the_folder(local):
    for environment in (
        of_site(local.sites[1], role="supernode:b", mark="m"),
        of_relay(local.sites[1], role="superlink:b", mark="m", chain=CHAIN, contract=CONTRACT),
    ):
        assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
        assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
        assert environment["FLWR_HOME"] == str(local.sites[1].flower.resolve())
        assert environment[processes.MARK] == "m"
        assert environment[ROLE].endswith(":b")


def test_a_strategy_finds_its_consortium_in_the_environment(monkeypatch):
    assert Consortium.from_environment() is None
    monkeypatch.setenv("FLWR_SWARM_CONTRACT", CONTRACT)
    assert Consortium.from_environment() is None  # the commands use this one too
    monkeypatch.setenv("FLWR_SWARM_CHAIN", CHAIN)
    found = Consortium.from_environment()
    assert (found.chain, found.contract) == (CHAIN, CONTRACT)
    monkeypatch.delenv("FLWR_SWARM_CONTRACT")
    with pytest.raises(ConfigurationError, match="FLWR_SWARM_CONTRACT"):
        Consortium.from_environment()


def test_a_named_consortium_goes_before_the_environments(monkeypatch, local):
    from flwr.serverapp.strategy import FedAvg

    monkeypatch.setenv("FLWR_SWARM_CHAIN", CHAIN)  # without a contract: asked for, it would raise
    with pytest.raises(ConfigurationError):
        SwarmStrategy(FedAvg())
    SwarmStrategy(FedAvg(), consortium=Consortium(chain=CHAIN, contract=CONTRACT))


SLEEPER = """
import subprocess, sys, time
sleep = "import time; time.sleep(600)"
subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


def started(local, mark):
    child = Child.spawn(
        [sys.executable, "-c", SLEEPER],
        env=of_site(local.sites[0], role="supernode:a", mark=mark),
        folder=local.path,
        log=local.logs / "child.log",
    )
    end = time.monotonic() + 240
    while "up" not in child.output() and time.monotonic() < end:
        time.sleep(0.05)
    return child


def test_what_a_killed_start_left_behind_is_ended_by_the_next(local):
    first = Session(local.path, "site")
    first.__enter__()
    child = started(local, first.mark)
    try:
        assert len(processes.family(first.mark)) == 2
        first._lock.release()  # as the system does when a process is killed
        with Session(local.path, "site"):
            assert not processes.family(first.mark)
    finally:
        processes.end(first.mark)
        child.end()


def test_a_childs_output_is_its_own_and_its_log_private(local):
    log = local.logs / "child.log"
    log.write_text("of an earlier one\n")
    with Session(local.path, "site") as session:
        child = started(local, session.mark)
        assert child.output() == "up\n"
        assert log.stat().st_mode & 0o777 == 0o600
        child.kill()
        assert child.poll() == -9
    assert not processes.family(session.mark)
