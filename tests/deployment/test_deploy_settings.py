"""A site's settings: the file says what was set, and nothing in it can reach what is derived."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.deployment.address import Address
from flwr_swarm.deployment.flower import overrides, toml
from flwr_swarm.deployment.layout import SiteFolder, node_config
from flwr_swarm.deployment.settings import Settings
from flwr_swarm.flower.compat import parse_config

CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
plain = st.text(st.characters(codec="utf-8", exclude_characters="'\"\n"), max_size=20)
values = st.one_of(plain, st.integers(-(2**53), 2**53), st.booleans(), st.floats(allow_nan=False))
keys = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True).filter(
    lambda key: not key.startswith("swarm-")
)
ports = st.integers(1, 65535)
settings = st.builds(
    Settings,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,30}", fullmatch=True),
    chain=ports.map(lambda port: f"http://127.0.0.1:{port}"),
    contract=st.just(CONTRACT),
    relays=st.lists(ports.map(lambda p: Address("relay.example", p)), max_size=4).map(tuple),
    relay=st.one_of(st.none(), ports.map(lambda port: Address("::1", port))),
    bind=st.sampled_from(["127.0.0.1", "10.0.0.1", "::"]),
    node_port=ports,
    node=st.dictionaries(keys, values, max_size=4),
)


def same(data):
    return Settings.from_json(json.loads(json.dumps(data)), "site.json")


@given(made=settings)
def test_settings_read_as_they_were_written(made):
    assert same(made.to_json()) == made


@given(made=settings, name=st.sampled_from(list(Settings.__dataclass_fields__)))
def test_a_missing_or_unknown_field_is_refused(made, name):
    fields = made.to_json()
    value = fields.pop(name)
    with pytest.raises(ConfigurationError, match="has the fields"):
        same(fields)
    with pytest.raises(ConfigurationError, match="has the fields"):
        same(fields | {name: value, "another": 1})
    with pytest.raises(ConfigurationError):
        same(fields | {name: [[]]})


@pytest.mark.parametrize("key", ["swarm-keys", "swarm-chain", "swarm-x", "a b", "", "x=y", "'"])
def test_node_config_cannot_name_what_follows_from_the_folder(key):
    with pytest.raises(ConfigurationError, match="node config takes keys"):
        Settings(name="a", chain="http://127.0.0.1:1", contract=CONTRACT, node={key: 1})


@given(made=settings)
def test_flower_reads_the_node_config_that_we_write(made, tmp_path_factory):
    config = node_config(SiteFolder(tmp_path_factory.getbasetemp()), made)
    lines = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in config.items())
    assert tomllib.loads(lines) == config
    assert config["swarm-contract"] == CONTRACT
    assert config["swarm-name"] == made.name


@given(config=st.dictionaries(keys, values, max_size=4))
def test_flower_reads_the_run_config_that_we_write(config):
    assert parse_config([overrides(config)] if config else []) == config


@pytest.mark.parametrize("name", ["", " a", "../a", "a/b", "a\n", "x" * 65, "-a"])
def test_a_name_that_could_leave_its_folder_or_line_is_refused(name):
    with pytest.raises(ConfigurationError, match="a site's name"):
        Settings(name=name, chain="http://127.0.0.1:1", contract=CONTRACT)
