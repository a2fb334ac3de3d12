"""What can be done to a study's processes, files and members."""

from __future__ import annotations

import os
import shutil
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from flwr_swarm.deployment.layout import SiteFolder
from flwr_swarm.deployment.roles import find
from flwr_swarm.keystore import Keystore

from .scenario import Act

if TYPE_CHECKING:
    from .study import Study


def pids(study: Study, kind: str, site: str = "") -> list[int]:
    """Processes of a part."""
    return [f.pid for f in find(study.local.path) if (f.kind, f.site) == (kind, site)]


def member(study: Study, who: str) -> str:
    """Name of the member that has a part now: a name, "leader", "next" or "ordinary"."""
    if who in study.local.names:
        return who
    assert study.view is not None
    current = study.view.current
    if who == "leader":
        index = current.leader
    elif who == "next":
        index = current.succession[current.view + 1]
    else:
        index = max(seal.member for seal in current.seals if seal.member != current.leader)
    assert index is not None
    return study.local.names[index]


def relay_site(study: Study) -> str:
    """Name of the member that relays."""
    return study.relay.folder.path.name


def kill(kind: str, *whom: str) -> Act:
    """kill -9 of members' processes, or of the chain, or of the relay's."""

    def act(study: Study) -> bool:
        if kind == "chain":
            sites = [""]
        elif kind in {"superlink", "serverapp"}:
            sites = [relay_site(study)]
        else:
            sites = [member(study, who) for who in whom]
        found = [pid for site in sites for pid in pids(study, kind, site)]
        if len(found) < len(sites):
            return False
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        study.memo["killed"] = sites
        return True

    return act


def kill_and_hold(*whom: str, seconds: float | None = None) -> Act:
    """kill -9 of members' SuperNodes, which then stay away: until `all_back` if for no time."""
    first = kill("supernode", *whom)

    def act(study: Study) -> bool:
        if not first(study):
            return False
        time.sleep(0.2)
        for name in study.memo["killed"]:
            study.hold_down(name)
            if seconds is not None:
                study.later.append((time.monotonic() + seconds, partial(study.bring_back, name)))
        return True

    return act


def all_back(study: Study) -> bool:
    """Whoever is absent is started, and connected before the next fault."""
    for name in sorted(study.absent):
        study.bring_back(name)
    return all_ready(study)


def all_ready(study: Study) -> bool:
    """Wait until all SuperNodes are connected, 40 s at most."""
    nodes = study.cluster.nodes.values()
    study.cluster.run(lambda: all(node.ready for node in nodes), 40.0)
    return True


def settle(seconds: float) -> Act:
    """Wait, for instance until a SuperNode noticed that its ClientApp is gone."""

    def act(study: Study) -> bool:
        study.cluster.run(lambda: False, seconds)
        return True

    return act


def move_relay(to: str, *also: str) -> Act:
    """kill -9 of everything of the relay, and of members' SuperNodes; another member relays."""

    def act(study: Study) -> bool:
        if also and not kill("supernode", *also)(study):
            return False
        study.relay.kill()
        study.start_relay(to)
        return True

    return act


def stop_for(kind: str, who: str, seconds: float) -> Act:
    """SIGSTOP, and SIGCONT after a while."""

    def act(study: Study) -> bool:
        site = relay_site(study) if kind == "serverapp" else "" if kind == "chain" else who
        found = pids(study, kind, site)
        if not found:
            return False
        if kind == "supernode":
            found += pids(study, "clientapp", site) + pids(study, "superexec", site)
        for pid in found:
            os.kill(pid, signal.SIGSTOP)

        def go_on() -> None:
            for pid in found:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    continue

        study.later.append((time.monotonic() + seconds, go_on))
        return True

    return act


def away(name: str) -> Act:
    """A member's SuperNode ends in order and stays away."""

    def act(study: Study) -> bool:
        study.hold_down(name)
        return True

    return act


def back(name: str) -> Act:
    """A member's SuperNode comes."""

    def act(study: Study) -> bool:
        study.bring_back(name)
        return True

    return act


def forget_memory(name: str) -> Act:
    """kill -9 of a SuperNode; its member's memory is deleted before it comes back."""
    first = kill("supernode", name)

    def act(study: Study) -> bool:
        if not first(study):
            return False
        shutil.rmtree(Keystore(site_of(study, name).keys).memory, ignore_errors=True)
        return True

    return act


def hide(what: str, name: str) -> Act:
    """A file of the site's is gone."""

    def act(study: Study) -> bool:
        path = getattr(site_of(study, name), what)
        path.rename(path.with_suffix(".hidden"))
        return True

    return act


def show(what: str, name: str) -> Act:
    """It is there again."""

    def act(study: Study) -> bool:
        path = getattr(site_of(study, name), what)
        path.with_suffix(".hidden").rename(path)
        return True

    return act


def revoke_node(name: str) -> Act:
    """The relay unregisters a node's key, as if its owner had reported it stolen."""

    def act(study: Study) -> bool:
        from flwr_swarm.deployment.superlink import SuperLink, admit  # noqa: PLC0415 - slow

        folder = study.relay.folder
        (folder.nodes / f"{name}.pub").rename(folder.nodes / f"{name}.hidden")
        settings = folder.settings()
        link = SuperLink(folder, settings, mark="none", say=study.note)
        admit(folder, link.address, study.note)
        return True

    return act


def admit_node(name: str) -> Act:
    """And registers it again."""

    def act(study: Study) -> bool:
        from flwr_swarm.deployment.superlink import SuperLink, admit  # noqa: PLC0415 - slow

        folder = study.relay.folder
        (folder.nodes / f"{name}.hidden").rename(folder.nodes / f"{name}.pub")
        link = SuperLink(folder, folder.settings(), mark="none", say=study.note)
        admit(folder, link.address, study.note)
        return True

    return act


def site_of(study: Study, name: str) -> SiteFolder:
    return study.local.sites[study.local.names.index(name)]
