"""`flwr-swarm chain`: a development chain, a prepared founding, and files for Besu."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .._exceptions import ConfigurationError
from . import output
from .consortium import deploy_plan, read_plan, show_plan
from .options import (
    CONTRACT_VARIABLE,
    TIMEOUT,
    URL_VARIABLE,
    Json,
    Keys,
    PasswordFile,
    Timeout,
    Url,
    Yes,
)

if TYPE_CHECKING:
    from ..chain.enode import Enode
    from ..chain.server import Serving

app = typer.Typer(
    no_args_is_help=True, help="A development chain, a prepared founding, files for Besu."
)
DEFAULT_PORT: Final = 8545
GENESIS: Final = "genesis.json"
STATIC_NODES: Final = "static-nodes.json"
PERMISSIONS: Final = "permissions_config.toml"
_CHAIN_IDS: Final = 1 << 31


@app.command(epilog="Example: flwr-swarm chain serve --dir chain --port 8545")
@output.reports
def serve(
    folder: Annotated[Path, typer.Option("--dir", help="Folder that holds the chain.")],
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = DEFAULT_PORT,
    chain_id: Annotated[
        int | None, typer.Option(help="Id of a new chain; by default drawn at random.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve a chain FOR DEVELOPMENT on this machine, until Ctrl-C.

    It is one process that anybody on the machine can use. What it acknowledged survives a crash.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from ..chain import server  # noqa: PLC0415

    def ready(serving: Serving) -> None:
        if as_json:
            import json  # noqa: PLC0415

            print(json.dumps(asdict(serving)), flush=True)
        else:
            print(serving, flush=True)

    raise typer.Exit(server.serve(folder, port=port, chain_id=chain_id, ready=ready))


@app.command(epilog="Example: flwr-swarm chain deploy --genesis consortium.json --keys keys")
@output.reports
def deploy(
    url: Url,
    keys: Keys,
    genesis: Annotated[Path, typer.Option(help="Document of consortium found --dry-run.")],
    password_file: PasswordFile = None,
    timeout: Timeout = TIMEOUT,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Found exactly the swarm that a document describes, after checking all of it again."""
    from ..keystore import Keystore  # noqa: PLC0415

    plan = read_plan(genesis)
    deploy_plan(plan, url, Keystore(keys), password_file, timeout, yes=yes, out=None)
    show_plan(plan, as_json=as_json, done="founded")


@app.command(
    epilog="Examples:\n\nflwr-swarm chain besu --out besu --enode enode://… --enode enode://… "
    "--enode enode://… --enode enode://…\n\nflwr-swarm chain besu --out lists --url "
    "http://localhost:8545 --contract 0x…"
)
@output.reports
def besu(
    out: Annotated[Path, typer.Option(help="New folder for the files.")],
    enode: Annotated[
        list[str] | None, typer.Option(help="A validator's enode URL; once for each.")
    ] = None,
    card: Annotated[
        list[Path] | None, typer.Option(help="Application whose node is a validator.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", envvar=URL_VARIABLE, help="Node of the swarm's chain, with lists."),
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(
            "--contract",
            envvar=CONTRACT_VARIABLE,
            help="Swarm whose registry names the nodes; then node lists only, no genesis.",
        ),
    ] = None,
    chain_id: Annotated[
        int | None, typer.Option(help="Id of the new chain; by default drawn at random.")
    ] = None,
    block_seconds: Annotated[int, typer.Option(help="Time between blocks.")] = 2,
    timeout_seconds: Annotated[int, typer.Option(help="Time for one proposer's block.")] = 4,
    gas_limit: Annotated[int | None, typer.Option(help="Gas a block.")] = None,
    allow_few: Annotated[
        bool, typer.Option("--allow-few", help="Fewer than four validators, or on one host.")
    ] = False,
    timeout: Timeout = TIMEOUT,
    as_json: Json = False,
) -> None:
    """Write genesis, static nodes and permissions of a Besu QBFT chain.

    With --enode or --card: a new chain whose validators these nodes are. Otherwise, with
    --contract: the node lists of a chain that runs, from the swarm's registry.
    """
    given = bool(enode or card)
    if given:
        made = _new_chain(
            _nodes(enode or [], card or [], chain_id),
            {
                "chain_id": chain_id or 2 + secrets.randbelow(_CHAIN_IDS),
                "block_seconds": block_seconds,
                "timeout_seconds": timeout_seconds,
            }
            | ({} if gas_limit is None else {"gas_limit": gas_limit}),
            allow_few=allow_few,
        )
    elif url is not None and contract is not None:
        made = _lists(url, contract, timeout, allow_few=allow_few)
    else:
        raise ConfigurationError(
            "give --enode or --card for each validator of a new chain, or --url and --contract "
            "for the node lists of a swarm"
        )
    files, fields, rows = made
    _write(out, files)
    if as_json:
        output.show_json({"folder": str(out), "files": sorted(files)} | fields)
        return
    console = output.console()
    console.print(output.facts([("written", f"{out}: {', '.join(sorted(files))}")]))
    console.print(output.facts(fields.items()))
    console.print(output.table(("validator or node", "enode"), rows))


Made = tuple[dict[str, str], dict[str, Any], list[tuple[str, str]]]


def _nodes(enodes: list[str], cards: list[Path], chain_id: int | None) -> list[Enode]:
    from ..chain.enode import Enode  # noqa: PLC0415
    from . import applications  # noqa: PLC0415

    found = [Enode.parse(text) for text in enodes]
    for file in cards:
        application = applications.load(file)
        if application.chain_id != chain_id:
            raise ConfigurationError(
                f"the application in {file} is for chain {application.chain_id}; give "
                f"--chain-id {application.chain_id}, or let the site apply for the new chain"
            )
        found.append(Enode.parse(application.card.endpoint))
    return found


def _new_chain(nodes: list[Enode], numbers: dict[str, int], *, allow_few: bool) -> Made:
    import json  # noqa: PLC0415

    from ..chain import besu as files  # noqa: PLC0415

    checked = files.check_nodes(nodes, allow_few=allow_few)
    chain = files.Qbft(**numbers)
    genesis = files.genesis(chain, [node.address for node in checked], allow_few=allow_few)
    content = {
        GENESIS: json.dumps(genesis, indent=2) + "\n",
        STATIC_NODES: files.static_nodes(checked),
        PERMISSIONS: files.permissions(checked),
    }
    fields = {
        "chain_id": chain.chain_id,
        "validators": len(checked),
        "tolerated": (len(checked) - 1) // 3,
        "dns": any(node.named for node in checked),
    }
    return content, fields, [(node.address, _short(node)) for node in checked]


def _lists(url: str, contract: str, timeout: float, *, allow_few: bool) -> Made:
    from ..chain import besu as files  # noqa: PLC0415
    from ..chain.enode import Enode  # noqa: PLC0415
    from . import connection  # noqa: PLC0415

    ledger = connection.read_only(url, contract, timeout)
    view, endpoints = ledger.view(), ledger.endpoints()
    named, skipped = [], []
    for member in view.seated:
        try:
            named.append(Enode.parse(endpoints[member.index]))
        except ConfigurationError:
            skipped.append(member.index)
    for seat in skipped:
        output.note(f"seat {seat} names no enode URL, so it is in no list")
    checked = files.check_nodes(named, allow_few=allow_few)
    accounts = [member.account for member in view.seated]
    content = {
        STATIC_NODES: files.static_nodes(checked),
        PERMISSIONS: files.permissions(checked, accounts),
    }
    fields = {
        "chain_id": view.chain_id,
        "contract": view.contract,
        "nodes": len(checked),
        "skipped": skipped,
        "dns": any(node.named for node in checked),
    }
    return content, fields, [(node.address, _short(node)) for node in checked]


def _short(node: Enode) -> str:
    return f"enode://{node.node_id[:8]}…@{node.host}:{node.port}"


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {folder} ({error.strerror}); name a new folder"
        ) from error
