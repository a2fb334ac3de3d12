"""Flower's own engine, in processes: TLS, registered nodes, a served chain, and an app that trains.

One story in one test: its steps need the same processes, in this order.
"""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from deploy_support import TINY, new

from flwr_swarm.chain.client import ReadOnlyLedger
from flwr_swarm.deployment import processes
from flwr_swarm.deployment.consortium import Local
from flwr_swarm.deployment.layout import SiteFolder
from flwr_swarm.deployment.probe import Wanted
from flwr_swarm.deployment.reach import why_not
from flwr_swarm.deployment.roles import find
from flwr_swarm.deployment.supernode import SuperNode
from flwr_swarm.deployment.tls import Authority
from flwr_swarm.protocol.types import Phase
from flwr_swarm.report.verify import verify

LIMIT = 600
"""Seconds after which a wait has failed; everything takes far less on a quiet machine."""
SETTINGS = ("--run-config", "sites=3 rounds=2")


def until(holds, what):
    end = time.monotonic() + LIMIT
    while not (found := holds()):
        assert time.monotonic() < end, what
        time.sleep(0.2)
    return found


class Up:
    """`flwr-swarm up` as it is installed, with what it says."""

    def __init__(self, folder, *more):
        self.folder, self.errors = folder, folder.parent / "up.err"
        with self.errors.open("w") as sink:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--json", "--dir", str(folder), *more],
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        self.told = json.loads(line)
        self.local = Local.open(folder)

    def pids(self, kind, site=""):
        return [
            found.pid for found in find(self.folder) if (found.kind, found.site) == (kind, site)
        ]

    def one(self, kind, site=""):
        return until(lambda: self.pids(kind, site), f"no {kind} {site}")[0]

    def kill(self, kind, site=""):
        pid = self.one(kind, site)
        os.kill(pid, signal.SIGKILL)
        return pid

    def said(self, text):
        return until(lambda: text in self.errors.read_text(), f"nobody said {text!r}")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=LIMIT)
        return self.process.returncode


COMMAND = (sys.executable, "-m", "flwr_swarm.cli")


def relay(up, site, *more, app=TINY):
    """Run an app with this member as relay; returns (exit code, what it printed)."""
    done = subprocess.run(
        [*COMMAND, "relay", str(app), "--json", "--dir", str(up.folder / site), *SETTINGS, *more],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def up(tmp_path):
    folder = tmp_path / "local"
    local = new(folder, 3, Wanted.of(TINY, 3, {"sites": 3}))
    for site in local.sites[1:]:
        shutil.copytree(TINY, site.apps / "tiny")
    made = Up(folder)
    yield made
    marks = [file.read_text() for file in folder.rglob("*.mark")]
    if made.process.poll() is None:
        made.end()
    for mark in marks:
        processes.end(mark)


def two_rounds_over_tls_with_registered_nodes(up):
    code, out, errors = relay(up, "a", "--retries", "0")
    assert code == 0, errors
    run = json.loads(out)
    assert run["status"] == "finished:completed"
    view = ReadOnlyLedger(url=up.told["chain"], contract=up.told["contract"]).view()
    assert (view.current.number, view.current.phase) == (2, Phase.CERTIFIED)
    # Members add 1, 2 and 3 units on 100, 200 and 300 examples, twice.
    mean = 2 * 0.01 * (1 * 100 + 2 * 200 + 3 * 300) / 600
    results = SiteFolder(up.folder / "a").relay
    np.testing.assert_allclose(np.load(results / "model.npy"), mean, atol=1e-3)
    proven = verify(results / "swarm-runs" / run["run"])
    assert (proven.certified, proven.members) == (2, 3)


def each_process_is_found_by_its_part(up):
    for kind, site in (("chain", ""), ("superlink", "a"), *(("supernode", s) for s in "abc")):
        assert len(up.pids(kind, site)) == 1, (kind, site)
    assert not up.pids("superlink", "b")


def a_killed_site_comes_back_by_itself(up):
    killed = up.kill("supernode", "b")
    up.said("SuperNode of b: ended by signal 9")
    until(lambda: up.errors.read_text().count("SuperNode of b: ready") == 2, "b did not come back")
    assert up.one("supernode", "b") != killed


def a_node_whose_key_is_not_registered_is_refused(up, tmp_path):
    """It has the trust root, the address, and even a member's keys: not the node key."""
    stranger = SiteFolder(tmp_path / "stranger")
    settings = up.local.sites[0].settings()
    stranger.create(settings, trust_root=up.local.sites[0].trust_root.read_bytes())
    said = []
    node = SuperNode(stranger, settings, settings.relays[:1], mark="stranger", say=said.append)
    child = node.start()
    try:
        until(lambda: child.poll() is not None, "the relay let a stranger in")
        assert not node.is_ready()
        node.ended(child.poll())
        assert "did not let it in" in said[-1]
    finally:
        processes.end("stranger")


def a_relay_with_another_certificate_gets_no_nodes(up, tmp_path):
    """The site does not even start its SuperNode: it would hand it what its node key signs."""
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.create("other", now=dt.datetime.now(dt.UTC)).root)
    relay_at = up.local.sites[0].settings().relays[0]
    assert "certificate is refused" in why_not(relay_at, other)
    assert why_not(relay_at, up.local.sites[0].trust_root) is None


def an_app_that_a_site_did_not_pin_runs_nowhere_there(up, tmp_path):
    """b and c pinned the app; one that differs in a comment gets no answer of theirs."""
    other = tmp_path / "other"
    shutil.copytree(TINY, other)
    code = other / "tiny_swarm" / "client_app.py"
    code.write_text(code.read_text() + "# changed\nopen('ran', 'w').close()\n")
    status, _, errors = relay(up, "a", "--retries", "0", app=other)
    assert status == 1
    assert "did not enrol" in errors or "the run needs 3" in errors
    for site in "bc":
        folder = SiteFolder(up.folder / site)
        assert not (folder.work / "ran").exists()
        assert "FAB verification failed" in (folder.logs / "supernode.log").read_text()
    assert (up.folder / "a" / "work" / "ran").exists()  # a pinned nothing


def after_the_end_nothing_is_left(up):
    mark = (up.folder / "up.mark").read_text()
    assert processes.family(mark)
    assert up.end() == 0
    assert not processes.family(mark)
    assert not find(up.folder)
    assert "Traceback" not in up.errors.read_text()


def a_second_start_goes_on_with_the_same_consortium(up):
    again = Up(up.folder, "--no-superlink", "--patience", "5")
    try:
        assert again.told["contract"] == up.told["contract"]
        view = ReadOnlyLedger(url=again.told["chain"], contract=again.told["contract"]).view()
        assert view.current.number == 2
        again.process.kill()  # not even its own end can be relied on
        again.process.communicate(timeout=LIMIT)
        assert find(up.folder)
        third = Up(up.folder, "--no-superlink")
        try:
            assert len(third.pids("chain")) == 1
        finally:
            assert third.end() == 0
    finally:
        for file in up.folder.rglob("*.mark"):
            processes.end(file.read_text())
    assert not find(up.folder)


@pytest.mark.timeout(2400)  # two minutes when nothing else runs
def test_a_consortium_on_one_machine(up, tmp_path):
    each_process_is_found_by_its_part(up)
    a_node_whose_key_is_not_registered_is_refused(up, tmp_path)
    a_relay_with_another_certificate_gets_no_nodes(up, tmp_path)
    an_app_that_a_site_did_not_pin_runs_nowhere_there(up, tmp_path)
    two_rounds_over_tls_with_registered_nodes(up)
    a_killed_site_comes_back_by_itself(up)
    after_the_end_nothing_is_left(up)
    a_second_start_goes_on_with_the_same_consortium(up)
