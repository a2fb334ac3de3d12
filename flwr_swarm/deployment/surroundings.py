"""The environment of each process that we start, by which it and its children are found again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from ..flower.joining import CHAIN_VARIABLE, CONTRACT_VARIABLE
from ..keystore.passwords import PASSWORD_VARIABLE
from . import flower, processes
from .layout import SiteFolder

ROLE: Final = "FLWR_SWARM_ROLE"
"""Environment variable: `supernode:a` for the SuperNode of site a and all that it starts."""


def of_site(folder: SiteFolder, *, role: str, mark: str) -> dict[str, str]:
    """For a SuperNode: it opens the member's keys."""
    return {
        **os.environ,
        **flower.surroundings(folder.flower.resolve()),
        processes.MARK: mark,
        ROLE: role,
    }


def of_relay(
    folder: SiteFolder, *, role: str, mark: str, chain: str, contract: str
) -> dict[str, str]:
    """For a SuperLink and the ServerApp: they have no business with the member's keys."""
    return without_password(of_site(folder, role=role, mark=mark)) | {
        CHAIN_VARIABLE: chain,
        CONTRACT_VARIABLE: contract,
    }


def without_password(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment less the keystore's password."""
    return {name: value for name, value in environment.items() if name != PASSWORD_VARIABLE}
