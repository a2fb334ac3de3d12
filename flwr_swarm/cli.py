"""`flwr-swarm`: what people type. Errors are one line; exit code 1 says that there was one.

demo, verify and doctor are here; the others in `commands`.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from . import __version__
from ._exceptions import SwarmError
from .commands import (
    audit,
    chain,
    consortium,
    contributions,
    member,
    output,
    prepare,
    relay,
    site,
    up,
)
from .commands.options import Json

app = typer.Typer(
    add_completion=False,
    # A traceback with local variables would print passwords and keys.
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Swarm learning for Flower: elected leaders, encrypted updates, audited privacy.",
)
app.add_typer(member.app, name="member")
app.add_typer(consortium.app, name="consortium")
app.add_typer(chain.app, name="chain")
app.command(epilog=audit.EXAMPLE)(audit.audit)
app.command(epilog=contributions.EXAMPLE)(contributions.contributions)
app.command(epilog=up.EXAMPLE)(up.up)
app.command(epilog=prepare.EXAMPLE)(prepare.prepare)
app.command(epilog=site.EXAMPLE)(site.site)
app.command(epilog=relay.EXAMPLE)(relay.relay)
_INTERRUPTED = 130


def main() -> None:
    """Entry point: a `SwarmError` becomes one line on stderr and exit code 1."""
    try:
        app(standalone_mode=True)
    except SwarmError as error:
        output.show_error(error, as_json=False)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flwr-swarm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of all commands."""


@app.command()
def demo(
    dataset: Annotated[
        str, typer.Option(help="support2 (fetched once, 3 MB) or breast-cancer (bundled).")
    ] = "support2",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("swarm-demo"),
    rounds: Annotated[int | None, typer.Option(help="Rounds of training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three rounds, fewer shadow models.")
    ] = False,
) -> None:
    """Train four hospitals as a swarm, compare, attack, and report."""
    from .demo.job import run_demo  # noqa: PLC0415 - torch is slow, and --help needs none of it
    from .demo.settings import settings  # noqa: PLC0415

    console = Console()
    try:
        chosen = settings(dataset=dataset, out=out, rounds=rounds, quick=quick, seed=seed)
        run_demo(chosen, console)
    except KeyboardInterrupt:
        console.print("\n[yellow]stopped[/]; everything that the demo started has ended")
        raise typer.Exit(_INTERRUPTED) from None


@app.command()
@output.reports
def verify(
    run_dir: Annotated[Path, typer.Argument(help="Evidence of a run, or a demo's folder.")],
    as_json: Json = False,
) -> None:
    """Recompute every draw, certificate, sum and model of a run from its evidence."""
    from .report.verify import verify as check  # noqa: PLC0415

    found = check(run_dir)
    if as_json:
        output.show_json(asdict(found))
        return
    leaders = ", ".join(str(leader) for leader in found.leaders)
    console = Console()
    console.print(f"[bold green]verified[/]: {escape(str(run_dir))}", soft_wrap=True)
    console.print(
        f"  {found.certified} of {found.rounds} rounds certified by {found.members} members; "
        f"leaders {leaders}\n"
        + (
            f"  rounds 1 to {found.first - 1} were another relay's run; verify its evidence too\n"
            if found.first > 1
            else ""
        )
        + (
            f"  the models of rounds {', '.join(map(str, found.elsewhere))} came from another "
            "relay's; verify its evidence too\n"
            if found.elsewhere
            else ""
        )
        + f"  {found.models} models recomputed from opened sums; final model "
        f"{found.final_hash[:16]}…\n"
        f"  highest epsilon {found.epsilon:.4f}; contract {found.contract}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
@output.reports
def doctor(
    before: Annotated[
        Path | None, typer.Option(help="A model before local training (.pt or .npz).")
    ] = None,
    after: Annotated[Path | None, typer.Option(help="The same model after it.")] = None,
    as_json: Json = False,
) -> None:
    """Show versions, test chain and encryption, and measure an update's length."""
    from .demo.doctor import self_test  # noqa: PLC0415
    from .demo.norms import PRIVATE, suggestion, update_norms, whole  # noqa: PLC0415
    from .demo.result import versions  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    if (before is None) != (after is None):
        raise typer.BadParameter("give both --before and --after, or neither")
    if not as_json:
        for name, found in versions().items():
            console.print(f"{name:12} {found}")
    proven = self_test()
    norms = update_norms(before, after) if before is not None and after is not None else ()
    if as_json:
        told = {"versions": versions(), "self_test": asdict(proven)}
        measured = {
            "update_norm": whole(norms) if norms else None,
            "arrays": [asdict(one) for one in norms],
        }
        output.show_json(told | measured)
        return
    console.print(
        f"[bold green]works[/]: {proven.members} members in this process, {proven.certified} "
        "encrypted rounds on a real chain, mean right, evidence verified"
    )
    if norms:
        console.print(
            f"L2 norm of the update: {whole(norms):.4g}; SwarmStrategy(clip=…) belongs a little "
            "above it"
        )
        for one in norms:
            console.print(
                f"  {one.name}: norm {one.norm:.3g}, largest of {one.size} entries "
                f"{one.largest:.3g}",
                markup=False,
            )
        console.print("With half as much room again:")
        console.print(suggestion(norms), markup=False)
        console.print(PRIVATE)


if __name__ == "__main__":
    main()
