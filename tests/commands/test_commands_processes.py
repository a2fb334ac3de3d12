"""The road from end to end in processes of their own, with the chain's server killed on the way.

Found with four, admit a fifth, kill -9, rotate, remove, count. Each site is a process that knows
its own folder of keys, the password's file, and the chain's URL.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

PASSWORD = "correct horse battery"
# A site's shell: it types the commands that it is sent, with the one setting that tests inject.
SHELL = """
import json, sys
import typer.main
from click.testing import CliRunner
from flwr_swarm.cli import app
from flwr_swarm.commands.options import Settings
command = typer.main.get_command(app)
for line in sys.stdin:
    asked = json.loads(line)
    done = CliRunner().invoke(command, asked["type"], env=asked["env"], obj=Settings(cost=2))
    told = {"code": done.exit_code, "out": done.stdout, "err": done.stderr}
    print(json.dumps(told), flush=True)
"""


class Site:
    """A process that types commands."""

    def __init__(self, folder, environment, password):
        self.environment = environment
        self.keys = ("--keys", str(folder), "--password-file", str(password))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHELL],
            env={k: v for k, v in os.environ.items() if not k.startswith("FLWR_SWARM")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def type(self, *words):
        asked = {"type": [*map(str, words), "--json"], "env": self.environment}
        print(json.dumps(asked), file=self.process.stdin, flush=True)

    def read(self, code=0):
        told = json.loads(self.process.stdout.readline())
        assert told["code"] == code, told
        assert PASSWORD not in told["out"] + told["err"]
        return json.loads(told["err"].splitlines()[-1] if code else told["out"])

    def run(self, *words, code=0):
        self.type(*words)
        return self.read(code)

    def vote(self, *words, code=0):
        return self.run("member", "vote", *self.keys, *words, "--yes", code=code)

    def end(self):
        self.process.kill()
        self.process.communicate()


class Chain:
    """`flwr-swarm chain serve`, as it is installed."""

    def __init__(self, folder, environment):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "flwr_swarm.cli", "chain", "serve", "--json"),
                *("--dir", str(folder), "--port", "0"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told = json.loads(self.process.stdout.readline())
        environment["FLWR_SWARM_URL"] = self.told["url"]

    def end(self, number):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=240)
        return self.process.returncode, errors


@pytest.fixture
def sites(tmp_path):
    """Five sites that share nothing but the environment's URL and contract."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    environment = {}
    made = {n: Site(tmp_path / n, environment, tmp_path / "password") for n in "abcde"}
    yield made
    for site in made.values():
        site.end()


@pytest.fixture
def chains(tmp_path, sites):
    """Starts the chain, again and again in one folder."""
    begun = []

    def begin():
        begun.append(Chain(tmp_path / "chain", sites["a"].environment))
        return begun[-1]

    yield begin
    for chain in begun:
        if chain.process.poll() is None:
            chain.end(signal.SIGKILL)


def test_a_consortium_from_its_founding_to_its_accounts(sites, chains, tmp_path):
    a, b, c, d, e = sites.values()
    for name, site in sites.items():  # all at once
        password = ("--password-file", tmp_path / "password")
        site.type("member", "keygen", "--dir", tmp_path / name, *password)
    chain = chains()
    made = [site.read() for site in sites.values()]
    due = a.run("consortium", "address", *a.keys[:2])
    assert due["chain_id"] == chain.told["chain_id"]
    a.environment["FLWR_SWARM_CONTRACT"] = due["contract"]
    for name, site in sites.items():
        site.type("member", "apply", *site.keys, "--out", tmp_path / f"{name}.json")
    assert [site.read()["card"]["account"] for site in sites.values()] == [
        m["account"] for m in made
    ]
    cards = [word for name in "abcd" for word in ("--card", tmp_path / f"{name}.json")]
    document = tmp_path / "consortium.json"
    founded = a.run("consortium", "found", *a.keys, *cards, "--out", document, "--yes")
    assert founded["contract"] == due["contract"]
    now = d.run("consortium", "status", "--document", document)
    assert [m["account"] for m in now["members"]] == [m["account"] for m in made[:4]]

    one = a.vote("--admit", tmp_path / "e.json")["id"]
    b.vote("--proposal", one)
    chain.end(signal.SIGKILL)  # two votes are in; the third comes after the crash
    again = chains()
    assert again.told["chain_id"] == chain.told["chain_id"]
    assert c.vote("--proposal", one)["status"] == "enacted"
    seats = e.run("member", "list")["members"]
    assert [m["account"] for m in seats] == [m["account"] for m in made]

    rotated = tmp_path / "rotated.json"
    two = b.run("member", "rotate", *b.keys, "--out", rotated, "--yes")["id"]
    for site in (a, c, d):  # all at once: each has a sender of its own
        site.type("member", "vote", *site.keys, "--proposal", two, "--yes")
    assert {site.read()["proposer"] for site in (a, c, d)} == {1}
    three = b.vote("--remove", "4")["id"]  # b votes with its new account
    for site in (a, c):
        site.vote("--proposal", three)
    assert d.vote("--proposal", three)["status"] == "enacted"
    assert e.vote("--suspend", "0", code=1)["error"] == "NotAMember"

    counted = c.run("contributions", "--db", tmp_path / "events.sqlite")["members"]
    assert [(m["seat"], m["status"]) for m in counted] == [
        *((seat, "seated") for seat in range(4)),
        (4, "removed"),
    ]
    now = a.run("member", "list")["members"]
    assert [m["account"] for m in counted[:4]] == [m["account"] for m in now]
    assert now[1]["account"] not in {m["account"] for m in made}
    code, errors = again.end(signal.SIGTERM)
    assert (code, "Traceback" in errors) == (0, False)
