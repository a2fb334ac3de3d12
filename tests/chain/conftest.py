"""One embedded chain a module, taken back after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chain_support import frozen_chain, undone

from flwr_swarm.chain.embedded import EmbeddedChain


@pytest.fixture(scope="module")
def module_chain() -> EmbeddedChain:
    return frozen_chain()


@pytest.fixture
def chain(module_chain: EmbeddedChain) -> Iterator[EmbeddedChain]:
    with undone(module_chain) as chain:
        yield chain
