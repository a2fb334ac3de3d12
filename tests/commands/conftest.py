"""Commands run in this process, against a chain server of this process."""

import pytest
from commands_support import PASSWORD, Desk, applied, found

from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.commands.options import PASSWORD_VARIABLE


@pytest.fixture
def chain():
    with ChainServer(EmbeddedChain()) as server:
        yield server


@pytest.fixture
def desk(tmp_path, chain):
    return Desk(
        folder=tmp_path,
        environment={
            PASSWORD_VARIABLE: PASSWORD,
            "FLWR_SWARM_URL": chain.url,
            "FLWR_SWARM_CONTRACT": "",
            "FLWR_SWARM_KEYS": "",
        },
    )


@pytest.fixture
def founded(desk):
    """A desk with a swarm of four: a, b, c and d."""
    names = ["a", "b", "c", "d"]
    applied(desk, names)
    found(desk, names)
    return desk
