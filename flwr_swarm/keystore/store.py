"""The keystore: generations of a member's two keys, each key in one encrypted JSON file.

A generation is a folder with two Web3 Secret Storage (version 3) files, AES-128-CTR under a key
that scrypt makes from the password: `account.json`, the chain account, which other Ethereum
tools read too, and `share.json`, the X25519 key. One format for both keeps the weaker half as
strong as the other: under one password, an attacker tries the file whose key derivation is
cheaper, and encrypted PKCS#8 offers only PBKDF2.

Rotation adds a generation. Old ones stay: they open what was sealed to them, until the
consortium has enacted the rotation and the last round before it is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from eth_utils.address import to_checksum_address

from .._exceptions import KeystoreError, KeystoreExists, WrongPassword
from . import files
from .container import STANDARD_COST, check_new, decrypted, encrypted, parsed
from .keys import MemberKeys

ACCOUNT_FILE: Final = "account.json"
SHARE_FILE: Final = "share.json"
_PUBLIC: Final = "x25519"
_OUTBOX: Final = "outbox"
_PROMISES: Final = "promises"
_MEMORY: Final = "memory"
_NAME: Final = re.compile(r"[0-9]{4}")
_KEY_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Generation:
    """The public half of one pair of keys.

    Parameters
    ----------
    number : int
        From 1; the newest is the highest.
    account : str
        Checksummed chain address.
    encryption_key : bytes
        32-byte X25519 public key.
    """

    number: int
    account: str
    encryption_key: bytes


class Keystore:
    """A folder of key generations. The object itself holds no key and no password.

    Parameters
    ----------
    folder : Path
        What `create` made.

    Raises
    ------
    KeystoreExposed
        Somebody else can read or change the folder or a file in it.
    KeystoreError
        The folder holds no keys, or they are damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files.check_private(folder, folder=True)
        names = sorted(entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name))
        if not names:
            raise KeystoreError(
                f"no keys in {folder}; make some with flwr-swarm member keygen --dir {folder}"
            )
        self.generations = tuple(self._generation(name) for name in names)

    def __repr__(self) -> str:
        return f"Keystore({self.newest.account}, {len(self.generations)} generation(s))"

    @classmethod
    def create(
        cls,
        folder: Path,
        password: str,
        *,
        keys: MemberKeys | None = None,
        cost: int = STANDARD_COST,
    ) -> Self:
        """Make the folder with its first generation.

        Parameters
        ----------
        folder : Path
            Made with permissions 700; one that is there must be private and hold no keys.
        password : str
            At least 12 characters.
        keys : MemberKeys or None
            None draws fresh ones.
        cost : int
            scrypt's N, a power of two; less than the standard is for tests.

        Raises
        ------
        KeystoreExists
            The folder holds keys already.
        KeystoreError
            The password is too short, or the folder cannot be used.
        """
        check_new(password, cost)
        files.make_private_folder(folder)
        if any(_NAME.fullmatch(entry.name) for entry in folder.iterdir()):
            raise KeystoreExists(
                f"{folder} holds keys already, and keys are never overwritten; choose another "
                "folder, or rotate them with flwr-swarm member rotate"
            )
        _write(folder, 1, keys or MemberKeys.generate(), password, cost)
        return cls(folder)

    @classmethod
    def open(
        cls, folder: Path, password: str, *, account: str | None = None, encryption_key: bytes = b""
    ) -> MemberKeys:
        """Decrypt one generation; the parameters are those of `pick`.

        Raises
        ------
        WrongPassword
            The password is another one.
        KeystoreExposed, KeystoreError
            As for `Keystore`.
        """
        store = cls(folder)
        return store.unlock(store.pick(account, encryption_key), password)

    @property
    def outbox(self) -> Path:
        """Folder for what these accounts send: one, so that each has one sender at a time."""
        return self.folder / _OUTBOX

    @property
    def promises(self) -> Path:
        """Folder for what these accounts signed and opened: one, so that no run forgets it."""
        return self.folder / _PROMISES

    @property
    def memory(self) -> Path:
        """Folder for what the site remembers, a folder for each contract in it."""
        return self.folder / _MEMORY

    @property
    def newest(self) -> Generation:
        """The generation that was made last."""
        return self.generations[-1]

    def pick(self, account: str | None = None, encryption_key: bytes = b"") -> Generation:
        """Return the generation that the chain lists.

        Parameters
        ----------
        account : str or None
            The member's account on the chain; None takes the newest generation.
        encryption_key : bytes
            The member's encryption key on the chain, where one account had several; empty takes
            the account's newest.

        Raises
        ------
        KeystoreError
            No generation is the listed one.
        """
        if account is None:
            return self.newest
        for generation in reversed(self.generations):
            if generation.account.lower() == account.lower() and encryption_key in {
                b"",
                generation.encryption_key,
            }:
                return generation
        known = ", ".join(generation.account for generation in self.generations)
        raise KeystoreError(
            f"{self.folder} holds no keys of account {account}, as the chain lists it; it holds "
            f"{known}"
        )

    def unlock(self, generation: Generation, password: str) -> MemberKeys:
        """Decrypt the keys of `generation`.

        Raises
        ------
        WrongPassword
            The password is another one.
        KeystoreError
            The files are damaged, or do not belong together.
        """
        folder = self._path(generation.number)
        keys = MemberKeys(
            account_key=decrypted(folder / ACCOUNT_FILE, password),
            share_key_bytes=decrypted(folder / SHARE_FILE, password),
        )
        # What a file says of itself is not covered by its checksum.
        if keys.account != generation.account or keys.encryption_key != generation.encryption_key:
            raise KeystoreError(
                f"the keys in {folder} are not those of account {generation.account} that their "
                "files name; restore them from your backup"
            )
        return keys

    def former_share_keys(self, generation: Generation, password: str) -> tuple[bytes, ...]:
        """X25519 private keys older than `generation`'s, newest first, as far as it opens them.

        Raises
        ------
        KeystoreError
            A file is damaged.
        """
        found = []
        for older in reversed(self.generations):
            if older.number >= generation.number:
                continue
            try:
                found.append(decrypted(self._path(older.number) / SHARE_FILE, password))
            except WrongPassword:
                continue  # restored from before its password was changed
        return tuple(found)

    def rotate(
        self,
        password: str,
        *,
        keep_account: bool = False,
        cost: int = STANDARD_COST,
        fresh: Callable[[], MemberKeys] = MemberKeys.generate,
    ) -> Generation:
        """Add a generation beside the old ones, under the password that opens the newest.

        Parameters
        ----------
        keep_account : bool
            Keep the chain account, and draw only a new encryption key.
        fresh : callable
            Where new keys come from.

        Raises
        ------
        WrongPassword
            The password does not open the newest generation; nothing was written.
        """
        check_new(password, cost)
        old, new = self.unlock(self.newest, password), fresh()
        if keep_account:
            new = MemberKeys(account_key=old.account_key, share_key_bytes=new.share_key_bytes)
        number = self.newest.number + 1
        _write(self.folder, number, new, password, cost)
        self.generations = (*self.generations, self._generation(f"{number:04d}"))
        return self.newest

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}"

    def _generation(self, name: str) -> Generation:
        folder = self.folder / name
        files.check_private(folder, folder=True)
        account, share = parsed(folder / ACCOUNT_FILE), parsed(folder / SHARE_FILE)
        try:
            generation = Generation(
                number=int(name),
                account=to_checksum_address("0x" + account["address"].removeprefix("0x")),
                encryption_key=bytes.fromhex(share[_PUBLIC]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            generation = None
        if generation is None or len(generation.encryption_key) != _KEY_BYTES:
            raise KeystoreError(
                f"the files in {folder} do not name their account and encryption key; restore "
                "them from your backup"
            )
        return generation


def _write(folder: Path, number: int, keys: MemberKeys, password: str, cost: int) -> None:
    account = encrypted(keys.account_key, password, cost)
    share = encrypted(keys.share_key_bytes, password, cost)
    # An address computed from this key would be of no account, and tools would import it.
    share.pop("address")
    share[_PUBLIC] = keys.encryption_key.hex()
    content = {ACCOUNT_FILE: account, SHARE_FILE: share}
    files.write_folder(
        folder,
        f"{number:04d}",
        {name: json.dumps(fields, indent=2).encode() + b"\n" for name, fields in content.items()},
    )
