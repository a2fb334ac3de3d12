"""A consortium on one machine, for trying: its members' folders, its keys, its founding."""

from __future__ import annotations

import json
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .._exceptions import ConfigurationError, NoContract
from ..chain.client import ReadOnlyLedger
from ..chain.deploy import contract_address
from ..commands import applications, policies
from ..commands.plan import Plan
from ..commands.strict import read_json, record, whole
from ..keystore import Keystore
from ..keystore.files import make_private_folder, write_private
from ..keystore.passwords import from_file
from ..protocol.quorum import check_protects
from ..protocol.terms import Terms
from ..protocol.types import Policy
from .address import LOOPBACK, Address, free_ports
from .layout import SiteFolder
from .settings import Settings, Value
from .tls import Authority

DESCRIPTION: Final = "up.json"
DOCUMENT: Final = "consortium.json"
AUTHORITY_KEY: Final = "ca.key"
MOST_MEMBERS: Final = 16
_CHAIN_IDS: Final = 1 << 31
_PASSWORD_BYTES: Final = 32
_CHEAP: Final = 2
"""scrypt's cost: these passwords are 256 random bits, which nobody finds by trying."""
_VALID_DAYS: Final = 3650.0
_TIMEOUT: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Local:
    """A folder that holds a whole consortium.

    Parameters
    ----------
    path : Path
    chain_id, chain_port : int
    names : tuple of str
        Members in order of their seats; each has the folder of its name.
    """

    path: Path
    chain_id: int
    chain_port: int
    names: tuple[str, ...]

    @property
    def chain_folder(self) -> Path:
        """The chain's journal."""
        return self.path / "chain"

    @property
    def document(self) -> Path:
        """The founding document, as `consortium found` writes it."""
        return self.path / DOCUMENT

    @property
    def sites(self) -> tuple[SiteFolder, ...]:
        """The members' folders."""
        return tuple(SiteFolder(self.path / name) for name in self.names)

    @property
    def logs(self) -> Path:
        """What the chain says."""
        return self.path / "logs"

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether the folder holds a consortium."""
        return (path / DESCRIPTION).is_file()

    @classmethod
    def open(cls, path: Path) -> Local:
        """Read what `create` made.

        Raises
        ------
        ConfigurationError
            It is none, or was left half made.
        """
        if not cls.is_at(path):
            raise ConfigurationError(
                f"{path} holds no consortium; make one with flwr-swarm up --dir {path}"
            )
        names = ("chain_id", "chain_port", "members")
        fields = record(read_json(path / DESCRIPTION), names, str(path / DESCRIPTION))
        members = fields["members"]
        if not isinstance(members, list) or not members:
            raise ConfigurationError(f"{path / DESCRIPTION} lists no members")
        return cls(
            path=path,
            chain_id=whole(fields["chain_id"], "chain_id"),
            chain_port=whole(fields["chain_port"], "chain_port", below=1 << 16),
            names=tuple(map(str, members)),
        )

    @classmethod
    def create(
        cls, path: Path, *, members: int, terms: Terms, policy: Callable[[Terms], Policy]
    ) -> Local:
        """Make all keys, certificates and cards, and the plan of the founding.

        Parameters
        ----------
        path : Path
            New, or empty.
        members : int
        terms : Terms
        policy : callable
            The rules, given the terms.

        Raises
        ------
        ConfigurationError
            Something is there already, or such a consortium could not protect an update.
        """
        if not 1 <= members <= MOST_MEMBERS:
            raise ConfigurationError(
                f"up makes 1 to {MOST_MEMBERS} members on one machine, got {members}"
            )
        rules = policy(terms)  # all that can be refused is, before anything is made
        policies.check(rules, range(members))
        if terms.encryption == "threshold":
            check_protects(rules, members)
        make_private_folder(path)
        if any(path.iterdir()):
            raise ConfigurationError(
                f"{path} is not empty and holds no {DESCRIPTION}; remove what an interrupted start "
                "left there, or choose another folder"
            )
        chain_port, *ports = free_ports(1 + 2 * members)
        made = cls(
            path=path,
            chain_id=2 + secrets.randbelow(_CHAIN_IDS),
            chain_port=chain_port,
            names=tuple(string.ascii_lowercase[:members]),
        )
        made.logs.mkdir()
        made.chain_folder.mkdir(mode=0o700)
        stores = made._make_sites(ports)
        made._make_document(stores, terms, rules)
        description = {
            "chain_id": made.chain_id,
            "chain_port": made.chain_port,
            "members": list(made.names),
        }
        # Last, because it says that all else is there.
        (path / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        return made

    def found(self, url: str) -> str:
        """Found what the document describes, unless it stands already; returns the contract.

        Raises
        ------
        WrongChain
            Another swarm stands at its address.
        """
        plan = Plan.from_json(read_json(self.document))
        ledger = ReadOnlyLedger(
            url=url, contract=plan.contract, chain_id=self.chain_id, timeout=_TIMEOUT
        )
        try:
            view = ledger.view()
        except NoContract:
            founder = self.sites[0]
            keys = Keystore.open(founder.keys, from_file(founder.password))
            plan.check(chain_id=self.chain_id, nonce=0, now=int(time.time()))
            plan.found(url, keys.account_key, timeout=_TIMEOUT)
            view = ledger.view()
        plan.compare(view)
        return plan.contract

    def _make_sites(self, ports: list[int]) -> list[Keystore]:
        now = datetime.now(UTC)
        authority = Authority.create("flwr-swarm on one machine", now=now)
        write_private(self.path / AUTHORITY_KEY, authority.key)
        relays = [Address(LOOPBACK, port) for port in ports[: len(self.names)]]
        node_ports = ports[len(self.names) :]
        passwords = [secrets.token_urlsafe(_PASSWORD_BYTES) for _ in self.names]
        public: dict[str, bytes] = {}
        stores = []
        # The founder's account creates the contract with its first transaction.
        contract = ""
        for index, (name, folder) in enumerate(zip(self.names, self.sites, strict=True)):
            make_private_folder(folder.path)
            stores.append(Keystore.create(folder.keys, passwords[index], cost=_CHEAP))
            contract = contract or contract_address(stores[0].newest.account)
            write_private(folder.password, passwords[index].encode() + b"\n")
            settings = Settings(
                name=name,
                chain=f"http://{LOOPBACK}:{self.chain_port}",
                contract=contract,
                relays=tuple(relays),
                relay=relays[index],
                node_port=node_ports[index],
                node=_partition(index, len(self.names)),
            )
            public[name] = folder.create(settings, trust_root=authority.root).public
            relay = authority.certify(f"relay {name}", [LOOPBACK, "localhost"], now=now)
            folder.certificate.write_bytes(relay.certificate)
            write_private(folder.certificate_key, relay.key)
        for folder in self.sites:
            for name, key in public.items():
                (folder.nodes / f"{name}.pub").write_bytes(key)
        return stores

    def _make_document(self, stores: list[Keystore], terms: Terms, rules: Policy) -> None:
        founder = stores[0].newest.account
        contract = contract_address(founder)
        expires = applications.valid_until(time.time(), _VALID_DAYS)
        signed = []
        for store, folder in zip(stores, self.sites, strict=True):
            keys = store.unlock(store.newest, from_file(folder.password))
            card = applications.new_card(
                keys,
                chain_id=self.chain_id,
                contract=contract,
                tls_certificate=folder.certificate,
            )
            signed.append(
                applications.Application.sign(
                    keys,
                    chain_id=self.chain_id,
                    contract=contract,
                    seat=None,
                    card=card,
                    expires=expires,
                )
            )
        plan = Plan(
            chain_id=self.chain_id,
            contract=contract,
            founder=founder,
            policy=rules,
            terms=terms,
            applications=tuple(signed),
        )
        plan.check(chain_id=self.chain_id, nonce=0, now=int(time.time()))
        self.document.write_text(json.dumps(plan.to_json(), indent=2) + "\n", encoding="utf-8")


def _partition(index: int, count: int) -> dict[str, Value]:
    """What Flower's simulation tells a node, and examples ask for."""
    return {"partition-id": index, "num-partitions": count}
