"""Which keys a site signs with: those of its keystore, else those that it made for this run."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from flwr.app import Context

from .._exceptions import ConfigurationError
from ..chain.client import ReadOnlyLedger
from ..keystore import Keystore
from ..keystore.keys import MemberKeys
from ..keystore.passwords import PASSWORD_VARIABLE, from_file
from .site import CHAIN_OPTION, CONTRACT_OPTION
from .state import KEYS_OPTION, load_keys, save_keys

PASSWORD_OPTION: Final = "swarm-password-file"  # noqa: S105 - a name, not a password


def keys_of(context: Context) -> MemberKeys | None:
    """The site's keys, or None before it enrolled without a keystore.

    A site whose node config names a keystore (`swarm-keys`, with `swarm-password-file` or the
    environment's FLWR_SWARM_PASSWORD) uses it and nothing else. Of several generations it uses
    the one that the chain lists, as rotation leaves the old one valid until it is enacted.

    Raises
    ------
    KeystoreError
        The keystore cannot be read or opened.
    ConfigurationError
        It has several generations, and the node config does not name chain and contract.
    """
    folder = context.node_config.get(KEYS_OPTION)
    if folder is None:
        return load_keys(context)
    store = Keystore(Path(str(folder)))
    generation = store.newest
    if len(store.generations) > 1:
        account, encryption_key = _listed(context, {g.account for g in store.generations})
        generation = store.pick(account, encryption_key)
    return _unlocked(str(folder), generation.number, _password(context))


def opening_keys(context: Context) -> MemberKeys | None:
    """As `keys_of`, with the older share keys of the keystore, which open what was sealed to them.

    Apart from it because each generation takes a second to open.
    """
    keys, folder = keys_of(context), context.node_config.get(KEYS_OPTION)
    if keys is None or folder is None:
        return keys
    store = Keystore(Path(str(folder)))
    current = store.pick(keys.account, keys.encryption_key)
    return replace(keys, former=_former(str(folder), current.number, _password(context)))


def enrolling_keys(context: Context) -> MemberKeys:
    """The site's keys; without a keystore it makes them at first contact."""
    keys = keys_of(context)
    if keys is None:
        keys = MemberKeys.generate()
        save_keys(context, keys)
    return keys


def _listed(context: Context, accounts: set[str]) -> tuple[str | None, bytes]:
    """Account and encryption key that the chain lists of those that the keystore holds."""
    url = context.node_config.get(CHAIN_OPTION)
    contract = context.node_config.get(CONTRACT_OPTION)
    if url is None or contract is None:
        raise ConfigurationError(
            f"the keystore holds {len(accounts)} accounts, so the chain must say which is the "
            f"member's; name {CHAIN_OPTION} and {CONTRACT_OPTION} in the site's node config"
        )
    view = ReadOnlyLedger(url=str(url), contract=str(contract)).view()
    for member in view.seated:
        if member.account in accounts:
            return member.account, member.encryption_key
    return None, b""


def _password(context: Context) -> str:
    file = context.node_config.get(PASSWORD_OPTION)
    if file is not None:
        return from_file(Path(str(file)))
    given = os.environ.get(PASSWORD_VARIABLE)
    if not given:
        raise ConfigurationError(
            f"no password for the site's keystore; name a file that holds it in the node config "
            f"({PASSWORD_OPTION}), or set ${PASSWORD_VARIABLE}"
        )
    return given


@lru_cache(maxsize=4)
def _unlocked(folder: str, number: int, password: str) -> MemberKeys:
    """Opening takes a second on purpose (scrypt); a process that lives does it once."""
    store = Keystore(Path(folder))
    return store.unlock(next(g for g in store.generations if g.number == number), password)


@lru_cache(maxsize=4)
def _former(folder: str, number: int, password: str) -> tuple[bytes, ...]:
    store = Keystore(Path(folder))
    newer = next(g for g in store.generations if g.number == number)
    return store.former_share_keys(newer, password)
