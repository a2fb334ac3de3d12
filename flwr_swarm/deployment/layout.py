"""A site's folder: what lies where in it. Secrets are their owner's alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._exceptions import ConfigurationError
from ..flower.compat import app_hash
from ..keystore.files import FOLDER_MODE, check_private, make_private_folder, write_private
from .node_keys import NodeKey
from .settings import Settings, Value

SETTINGS: Final = "site.json"
_MADE: Final = ("nodes", "apps", "logs", "flower", "work", "relay")


@dataclass(frozen=True)
class SiteFolder:
    """Paths below one site's folder."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """`Settings` as JSON."""
        return self.path / SETTINGS

    @property
    def keys(self) -> Path:
        """The member's keystore, with all that its accounts promised."""
        return self.path / "keys"

    @property
    def password(self) -> Path:
        """The keystore's password, in one line."""
        return self.path / "password"

    @property
    def node_key(self) -> Path:
        """Private key of the site's SuperNode."""
        return self.path / "node.key"

    @property
    def node_public(self) -> Path:
        """Its public key, which the others get."""
        return self.path / "node.pub"

    @property
    def trust_root(self) -> Path:
        """Certificate of the authority that signs the relays' certificates."""
        return self.path / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The certificate with which this site relays."""
        return self.path / "relay.pem"

    @property
    def certificate_key(self) -> Path:
        """Its private key."""
        return self.path / "relay.key"

    @property
    def nodes(self) -> Path:
        """Public node keys of all members: NAME.pub, whom this site lets in when it relays."""
        return self.path / "nodes"

    @property
    def apps(self) -> Path:
        """Copies of the apps that may run here; empty for whatever a relay sends."""
        return self.path / "apps"

    @property
    def logs(self) -> Path:
        """What the processes say."""
        return self.path / "logs"

    @property
    def flower(self) -> Path:
        """Flower's home: its configuration, and the apps that it unpacks."""
        return self.path / "flower"

    @property
    def work(self) -> Path:
        """Where the ClientApp works."""
        return self.path / "work"

    @property
    def relay(self) -> Path:
        """Where the ServerApp works when this site relays: models and evidence go here."""
        return self.path / "relay"

    @property
    def database(self) -> Path:
        """SuperLink's memory of one relay session."""
        return self.relay / "superlink.sqlite"

    def settings(self) -> Settings:
        """Read `site.json`; the folder must be private.

        Raises
        ------
        ConfigurationError
            It is no site's folder, or others can look into it.
        """
        if not self.settings_file.is_file():
            raise ConfigurationError(
                f"{self.path} is no site's folder, as it holds no {SETTINGS}; make one with "
                "flwr-swarm up, or flwr-swarm prepare"
            )
        check_private(self.path, folder=True)
        return Settings.read(self.settings_file)

    def create(self, settings: Settings, *, trust_root: bytes | None = None) -> NodeKey:
        """Make the folder with settings and a new node key; it must not hold a site yet.

        Raises
        ------
        ConfigurationError
            There is one, or somebody else can look into the folder.
        """
        if self.settings_file.exists() or self.node_key.exists():
            raise ConfigurationError(
                f"{self.path} holds a site already; its keys are never overwritten, so choose "
                "another folder"
            )
        make_private_folder(self.path)
        self.make_working_folders()
        key = NodeKey.create()
        write_private(self.node_key, key.private)
        self.node_public.write_bytes(key.public)
        if trust_root is not None:
            self.trust_root.write_bytes(trust_root)
        write_private(self.settings_file, settings.text())
        return key

    def make_working_folders(self) -> None:
        """Make what is missing of the folders that hold no secret of the member."""
        for name in _MADE:
            (self.path / name).mkdir(mode=FOLDER_MODE, exist_ok=True)

    def forget_relaying(self) -> None:
        """Remove SuperLink's memory; each relay session begins with an empty one."""
        for path in self.relay.glob(f"{self.database.name}*"):
            path.unlink()

    def forget_apps(self) -> None:
        """Remove what Flower unpacked; the next message brings the app again."""
        shutil.rmtree(self.flower / "apps", ignore_errors=True)

    def pinned_apps(self) -> dict[str, str]:
        """Name and hash of each app that may run here; empty for whatever a relay sends.

        Raises
        ------
        ConfigurationError
            Something in `apps` is no app.
        """
        if not self.apps.is_dir():
            return {}
        return {path.name: app_hash(path) for path in sorted(self.apps.iterdir())}

    def known_nodes(self) -> dict[str, bytes]:
        """Name and public key (OpenSSH) of each node that may connect when this site relays."""
        return {path.stem: path.read_bytes() for path in sorted(self.nodes.glob("*.pub"))}


def node_config(folder: SiteFolder, settings: Settings) -> dict[str, Value]:
    """Everything that the site tells its ClientApp, out of the relay's reach."""
    path = folder.path.resolve()
    given = SiteFolder(path)
    found: dict[str, Value] = {
        **settings.node,
        "swarm-name": settings.name,
        "swarm-chain": settings.chain,
        "swarm-contract": settings.contract,
        "swarm-keys": str(given.keys),
    }
    if given.password.exists():  # else it is in the environment
        found["swarm-password-file"] = str(given.password)
    return found
