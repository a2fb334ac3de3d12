"""A consortium of three on one machine, made once and copied for each test."""

import shutil

import pytest
from deploy_support import TINY, new

from flwr_swarm.deployment.consortium import Local


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return new(tmp_path_factory.mktemp("deployment") / "local")


@pytest.fixture
def local(made, tmp_path):
    shutil.copytree(made.path, tmp_path / "local")
    return Local.open(tmp_path / "local")


@pytest.fixture(scope="session")
def tiny():
    """Folder of an app without any framework."""
    return TINY
