"""Commands run in this process, against a chain server of this process.

One swarm is founded for a whole session; each test gets a copy of its keys, and the chain back.
"""

import shutil

import pytest
from commands_support import PASSWORD, Desk, applied, found

from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.commands.options import PASSWORD_VARIABLE


@pytest.fixture(scope="session")
def server():
    with ChainServer(EmbeddedChain()) as served:
        yield served


def desk_at(folder, server):
    variables = {"FLWR_SWARM_URL": server.url, "FLWR_SWARM_CONTRACT": "", "FLWR_SWARM_KEYS": ""}
    return Desk(folder=folder, environment=variables | {PASSWORD_VARIABLE: PASSWORD})


@pytest.fixture
def desk(tmp_path, server):
    """An empty desk, with a chain behind it."""
    before = server.chain.snapshot()
    yield desk_at(tmp_path, server)
    server.chain.revert(before)


@pytest.fixture(scope="session")
def four(tmp_path_factory, server):
    desk = desk_at(tmp_path_factory.mktemp("four"), server)
    names = ["a", "b", "c", "d"]
    applied(desk, names)
    found(desk, names)
    return desk


@pytest.fixture
def founded(four, tmp_path, server):
    """A desk with a swarm of four: a, b, c and d."""
    before = server.chain.snapshot()
    folder = tmp_path / "desk"
    shutil.copytree(four.folder, folder)
    yield Desk(folder=folder, environment=dict(four.environment))
    server.chain.revert(before)
