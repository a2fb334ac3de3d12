"""The commands' refusals: before anything is started, in one line, with a remedy."""

import json
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # typer still uses deprecated names of click's
    import typer.main
    from click.testing import CliRunner

from flwr_swarm.cli import app
from flwr_swarm.deployment import processes
from flwr_swarm.deployment.layout import SiteFolder
from flwr_swarm.deployment.node_keys import load_private
from flwr_swarm.deployment.session import Session

COMMAND = typer.main.get_command(app)


def refused(*words):
    done = CliRunner().invoke(COMMAND, [*map(str, words), "--json"])
    assert done.exit_code == 1, (done.stdout, done.stderr, done.exception)
    assert done.stdout == ""
    told = json.loads(done.stderr.splitlines()[-1])
    return told["error"], told["message"]


def relaying(local, tiny, site=0, *more):
    return refused("relay", tiny, "--dir", local.sites[site].path, "--wait", "1", *more)


def test_up_does_not_change_a_consortium_that_exists(local, tiny):
    before = local.document.read_bytes()
    error, message = refused("up", "--dir", local.path, "--members", "5")
    assert error == "ConfigurationError"
    assert "holds a consortium already" in message
    assert local.document.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--members", "2"], "2"),
        (["--members", "99"], "1 to 16"),
        (["--policy", "threshold=1", "--members", "4"], "threshold"),
        (["--policy", "max_views=0", "--members", "4"], "max_views"),
        (["--policy", "nonsense"], "key=value"),
        (["--terms", "missing.json"], "missing.json"),
        (["--run-config", "rounds=1"], "--app"),
    ],
)
def test_up_founds_nothing_that_could_not_work(tmp_path, words, told):
    _, message = refused("up", "--dir", tmp_path / "new", *words)
    assert told in message
    assert not (tmp_path / "new").exists()


def test_up_says_which_port_is_taken(local):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", local.chain_port))
        taken.listen()
        _, message = refused("up", "--dir", local.path)
    assert f"port {local.chain_port} of the chain is taken" in message


def test_up_runs_once_in_a_folder(local):
    with Session(local.path, "up") as other:
        error, message = refused("up", "--dir", local.path)
        assert (error, "end that one first" in message) == ("FolderInUse", True)
        assert (local.path / "up.mark").read_text() == other.mark


def test_a_site_says_what_it_lacks(local, tmp_path):
    site = local.sites[0]
    assert "no site's folder" in refused("site", "--dir", tmp_path)[1]
    assert "host:port" in refused("site", "--dir", site.path, "--relay", "nowhere")[1]
    same = ["--relay", "a.example:1", "--relay", "a.example:1"]
    assert "named twice" in refused("site", "--dir", site.path, *same)[1]
    for path, told in ((site.trust_root, "authority"), (site.node_key, "node.key")):
        path.unlink()
        assert told in refused("site", "--dir", site.path)[1]


def test_a_relay_says_what_it_lacks(local, tiny, tmp_path):
    assert "no Flower app" in refused("relay", tmp_path, "--dir", local.sites[0].path)[1]
    assert "tries again 0 times" in relaying(local, tiny, 0, "--retries", "-1")[1]
    for public in local.sites[0].nodes.iterdir():
        public.unlink()
    assert "node.pub" in relaying(local, tiny)[1]
    local.sites[1].certificate.unlink()
    assert "certificate" in relaying(local, tiny, 1)[1]
    file = local.sites[2].settings_file
    file.write_text(json.dumps(json.loads(file.read_text()) | {"relay": None}))
    assert "names no address" in relaying(local, tiny, 2)[1]


def test_a_relay_that_is_named_and_dead_is_said_to_be(local, tiny):
    error, message = relaying(local, tiny, 0, "--superlink", "127.0.0.1:1", "--retries", "0")
    assert error == "FlowerRunError"
    assert "127.0.0.1:1 does not answer: connection refused" in message
    assert not (local.sites[0].path / "relay.mark").exists()


def test_a_relay_runs_once_in_a_folder(local, tiny):
    with Session(local.sites[0].path, "relay") as other:
        assert relaying(local, tiny)[0] == "FolderInUse"
        assert not processes.family(other.mark)


def prepared(folder, *more):
    words = ["prepare", "--dir", folder, "--name", "Hospital A", "--url", "http://127.0.0.1:8545"]
    return CliRunner().invoke(
        COMMAND, [*map(str, words), "--contract", CONTRACT, *more, "--json"], env=CLEAN
    )


CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
CLEAN = {"FLWR_SWARM_URL": "", "FLWR_SWARM_CONTRACT": ""}


def test_a_site_is_prepared_with_a_key_and_settings_of_its_own(tmp_path):
    relays = ["--relay", "a.example:9092", "--relay", "[::1]:9092", "--relay-at", "a.example:9092"]
    done = prepared(tmp_path / "site", *relays, "--node", 'gpu=true ward="A 3"')
    assert done.exit_code == 0, done.stderr
    site = SiteFolder(tmp_path / "site")
    settings = site.settings()
    assert [str(each) for each in settings.relays] == ["a.example:9092", "[::1]:9092"]
    assert settings.node == {"gpu": True, "ward": "A 3"}
    assert json.loads(done.stdout)["node_key"] == str(site.node_public)
    load_private(site.node_key)
    again = prepared(tmp_path / "site")
    assert again.exit_code == 1
    assert "never overwritten" in json.loads(again.stderr)["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--relay", "a.example:9092", "--relay", "a.example:9092"),
        ("--relay-at", "a.example"),
        ("--node", "swarm-keys='/x'"),
        ("--node", "ward=A 3 ="),
        ("--contract", "0x12"),
        ("--url", "file:///x"),
        ("--name", "../a"),
    ],
)
def test_a_site_with_settings_that_cannot_work_is_not_made(tmp_path, wrong):
    done = prepared(tmp_path / "site", *wrong)
    assert done.exit_code == 1, done.stdout
    assert not (tmp_path / "site").exists()
