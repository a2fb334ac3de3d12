"""`flwr-swarm up`: a whole consortium on this machine, for trying."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .._exceptions import ConfigurationError
from . import output
from .options import Json

if TYPE_CHECKING:
    from ..deployment.consortium import Local

FOLDER: Final = Path("swarm-local")
EXAMPLE: Final = "Example: flwr-swarm up --app examples/support2_swarm"
_MEMBERS: Final = 4


@output.reports
def up(
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the consortium.")] = FOLDER,
    members: Annotated[
        int | None, typer.Option(help="How many found it; 4 if nothing is said.")
    ] = None,
    app: Annotated[
        Path | None, typer.Option(help="Flower app whose SwarmStrategy gives the terms.")
    ] = None,
    run_config: Annotated[
        list[str] | None,
        typer.Option("--run-config", help="Overrides of the app's run config, key=value."),
    ] = None,
    terms: Annotated[Path | None, typer.Option(help="Instead of --app: a file of terms.")] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="Setting of the policy, key=value.")
    ] = None,
    no_restart: Annotated[bool, typer.Option("--no-restart", help="What dies stays dead.")] = False,
    no_superlink: Annotated[
        bool, typer.Option("--no-superlink", help="Run none: flwr-swarm relay brings its own.")
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds that a relay may be away before sites look for another.")
    ] = 20.0,
    as_json: Json = False,
) -> None:
    """Run a consortium on this machine until Ctrl-C: chain, SuperLink, a SuperNode each.

    The first start founds it, with keys and certificates of its own for each member; a later
    one goes on with it. What dies is started again. Everything listens on 127.0.0.1.
    """
    from ..deployment.cluster import Cluster  # noqa: PLC0415 - slow to import
    from ..deployment.consortium import Local  # noqa: PLC0415
    from .foreground import narrator, show_line, stoppable  # noqa: PLC0415

    say = narrator(as_json)
    with stoppable():
        try:
            if Local.is_at(folder):
                if members or app or run_config or terms or policy:
                    raise ConfigurationError(
                        f"{folder} holds a consortium already, whose members and terms stand; "
                        "leave out --members, --app, --run-config, --terms and --policy, or "
                        "choose another --dir"
                    )
                local = Local.open(folder)
            else:
                local = _new(folder, members or _MEMBERS, app, run_config, terms, policy)
                say(f"keys, certificates and plan of {len(local.names)} members: {folder}")
            cluster = Cluster(
                local,
                say=say,
                restart=not no_restart,
                superlink=not no_superlink,
                patience=patience,
            )
            with cluster:
                cluster.start()
                told = _facts(local, cluster.url, str(cluster.relay), app)
                if as_json:
                    show_line(json.dumps(told))
                else:
                    _show(told)
                cluster.run(lambda: False)
        except KeyboardInterrupt:
            say("stopped; everything that was started has ended")


def _new(
    folder: Path,
    members: int,
    app: Path | None,
    run_config: list[str] | None,
    terms: Path | None,
    policy: list[str] | None,
) -> Local:
    from ..deployment.consortium import Local  # noqa: PLC0415
    from ..deployment.probe import Wanted  # noqa: PLC0415
    from ..flower.compat import parse_config  # noqa: PLC0415
    from . import policies  # noqa: PLC0415

    if app is not None and terms is not None:
        raise ConfigurationError("give --app or --terms, not both: each says what the terms are")
    if run_config and app is None:
        raise ConfigurationError("--run-config is for the app of --app; give that too")
    asked: tuple[str, ...] = ()
    if app is not None:
        wanted = Wanted.of(app, members, parse_config(run_config or []))
        chosen, asked = wanted.terms, wanted.policy
    else:
        chosen = policies.default_terms(members) if terms is None else policies.load_terms(terms)
    given = policy or []
    named = {setting.partition("=")[0].strip() for setting in given}
    settings = [each for each in asked if each.partition("=")[0] not in named] + given
    return Local.create(
        folder,
        members=members,
        terms=chosen,
        policy=lambda t: policies.adjusted(policies.default_policy(members, t), settings),
    )


def _facts(local: Local, url: str, relay: str, app: Path | None) -> dict[str, Any]:
    first = local.sites[0]
    return {
        "folder": str(local.path),
        "chain": url,
        "chain_id": local.chain_id,
        "contract": first.settings().contract,
        "relay": relay,
        "members": [
            {"name": name, "folder": str(folder.path), "relay": str(folder.settings().relay)}
            for name, folder in zip(local.names, local.sites, strict=True)
        ],
        "train": f"flwr-swarm relay {app or 'APP'} --dir {first.path} --stream",
    }


def _show(told: dict[str, Any]) -> None:
    console = output.console()
    rows = [
        ("contract", f"{told['contract']} on chain {told['chain_id']}"),
        ("chain", f"{told['chain']} (for development)"),
        ("SuperLink", f"{told['relay']}, run by {told['members'][0]['name']}"),
        ("members", ", ".join(f"{each['folder']}" for each in told["members"])),
        ("to train", told["train"]),
        ("to end", "Ctrl-C"),
    ]
    console.print(output.facts(rows))
