"""What `up` makes: folders that keep their secrets, members that share none, a plan that holds."""

import shutil
import stat

import pytest
from deploy_support import new

from flwr_swarm._exceptions import ConfigurationError, KeystoreExposed, NoContract
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.commands.applications import fingerprint
from flwr_swarm.commands.plan import Plan
from flwr_swarm.commands.strict import read_json
from flwr_swarm.deployment.consortium import AUTHORITY_KEY, DESCRIPTION, Local
from flwr_swarm.deployment.layout import SiteFolder
from flwr_swarm.deployment.node_keys import load_private
from flwr_swarm.deployment.session import Session
from flwr_swarm.flower.compat import app_hash
from flwr_swarm.keystore import Keystore
from flwr_swarm.keystore.passwords import from_file

SECRET = ("password", "node.key", "relay.key", AUTHORITY_KEY)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_their_owners_alone(local):
    found = [path for path in local.path.rglob("*") if path.name in SECRET]
    assert len(found) == 3 * 3 + 1
    assert {mode(path) for path in found} == {0o600}
    for folder in (local.path, *(site.path for site in local.sites)):
        assert mode(folder) == 0o700
    assert {mode(site.keys) for site in local.sites} == {0o700}


def test_members_share_no_secret_and_know_each_others_nodes(local):
    keys = [Keystore.open(site.keys, from_file(site.password)) for site in local.sites]
    assert len({key.account for key in keys}) == 3
    assert len({from_file(site.password) for site in local.sites}) == 3
    assert len({site.node_key.read_bytes() for site in local.sites}) == 3
    public = {
        name: site.node_public.read_bytes()
        for name, site in zip(local.names, local.sites, strict=True)
    }
    for site in local.sites:
        load_private(site.node_key)
        assert site.known_nodes() == public
        assert site.trust_root.read_bytes() == local.sites[0].trust_root.read_bytes()
        assert site.settings().relays == tuple(s.settings().relay for s in local.sites)
    ports = [p for s in local.sites for p in (s.settings().relay.port, s.settings().node_port)]
    assert len({local.chain_port, *ports}) == 7


def test_no_password_or_private_key_lies_anywhere_else(local):
    secrets = [from_file(site.password).encode() for site in local.sites]
    for path in local.path.rglob("*"):
        if path.is_file() and path.name not in SECRET:
            data = path.read_bytes()
            assert b"PRIVATE KEY" not in data, path
            assert not [secret for secret in secrets if secret in data], path


def test_the_plan_is_signed_by_all_and_names_their_certificates(local):
    plan = Plan.from_json(read_json(local.document))
    assert {site.settings().contract for site in local.sites} == {plan.contract}
    assert [card.tls_hash for card in plan.cards] == [
        fingerprint(site.certificate) for site in local.sites
    ]
    accounts = [Keystore(site.keys).newest.account for site in local.sites]
    assert [card.account for card in plan.cards] == accounts


def test_it_is_founded_once_and_found_again(local):
    with ChainServer(EmbeddedChain(chain_id=local.chain_id)) as server:
        contract = local.found(server.url)
        assert contract == local.sites[0].settings().contract
        height = server.chain.height
        assert local.found(server.url) == contract
        assert server.chain.height == height


def test_the_same_folder_is_never_made_twice(local):
    before = {path: path.read_bytes() for path in local.path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError, match="is not empty"):
        new(local.path)
    with pytest.raises(ConfigurationError, match="holds a site already"):
        local.sites[0].create(local.sites[0].settings())
    assert before == {p: p.read_bytes() for p in local.path.rglob("*") if p.is_file()}


def test_a_half_made_folder_is_said_to_be_one(local):
    (local.path / DESCRIPTION).unlink()
    with pytest.raises(ConfigurationError, match="holds no consortium"):
        Local.open(local.path)
    with pytest.raises(ConfigurationError, match="interrupted"):
        new(local.path)


@pytest.mark.parametrize("members", [0, 1, 2, 17])
def test_a_consortium_that_could_not_work_leaves_nothing(tmp_path, members):
    with pytest.raises(ConfigurationError):
        new(tmp_path / "local", members)
    assert not (tmp_path / "local").exists()


def test_a_folder_that_others_can_enter_is_refused(local):
    site = local.sites[0]
    site.path.chmod(0o750)
    with pytest.raises(KeystoreExposed, match="chmod 700"):
        site.settings()


def test_what_is_no_sites_folder_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no site's folder.*flwr-swarm up"):
        SiteFolder(tmp_path).settings()


def test_relaying_begins_with_an_empty_memory_and_keeps_results(local):
    site = local.sites[0]
    for name in ("superlink.sqlite", "superlink.sqlite-wal", "model.npy"):
        (site.relay / name).write_bytes(b"x")
    site.forget_relaying()
    assert [path.name for path in site.relay.iterdir()] == ["model.npy"]


def test_a_revoked_node_is_known_no_more(local):
    site = local.sites[0]
    (site.nodes / "c.pub").unlink()
    assert sorted(site.known_nodes()) == ["a", "b"]


def test_no_contract_is_founded_for_another_plan(local, tmp_path):
    """A chain that lost its journal holds no contract; the plan founds it anew, as it was."""
    with ChainServer(EmbeddedChain(chain_id=local.chain_id)) as server:
        first = local.found(server.url)
    shutil.rmtree(local.chain_folder)
    with ChainServer(EmbeddedChain(chain_id=local.chain_id)) as server:
        assert local.found(server.url) == first
    with (
        ChainServer(EmbeddedChain(chain_id=local.chain_id + 1)) as server,
        pytest.raises(Exception, match="chain") as refused,
    ):
        local.found(server.url)
    assert not isinstance(refused.value, NoContract)


def test_one_start_at_a_time(local):
    with Session(local.path, "up"), pytest.raises(ConfigurationError, match="another flwr-swarm"):
        Session(local.path, "up").__enter__()
    with Session(local.path, "up") as again:
        assert (local.path / "up.mark").read_text() == again.mark
    assert not (local.path / "up.mark").exists()


def test_an_app_is_known_by_its_content_wherever_it_lies(local, tiny, tmp_path):
    site = local.sites[0]
    assert site.pinned_apps() == {}
    shutil.copytree(tiny, site.apps / "one", copy_function=shutil.copyfile)
    shutil.copytree(tiny, site.apps / "two")
    changed = site.apps / "two" / "tiny_swarm" / "client_app.py"
    hashes = site.pinned_apps()
    assert hashes["one"] == hashes["two"] == app_hash(tiny)
    changed.write_text(changed.read_text() + "\n")
    hashes = site.pinned_apps()
    assert hashes["one"] == app_hash(tiny) != hashes["two"]
    (site.apps / "three").mkdir()
    with pytest.raises(ConfigurationError, match="no Flower app"):
        site.pinned_apps()
