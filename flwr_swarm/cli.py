"""`flwr-swarm`: demo, verify, doctor. Errors are one line; exit code 1 says that there was one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from . import __version__
from ._exceptions import SwarmError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Swarm learning for Flower: elected leaders, encrypted updates, audited privacy.",
)
_INTERRUPTED = 130


def main() -> None:
    """Entry point: a `SwarmError` becomes one line on stderr and exit code 1."""
    try:
        app(standalone_mode=True)
    except SwarmError as error:
        Console(stderr=True).print(
            f"[bold red]error[/]: {escape(str(error))}", highlight=False, soft_wrap=True
        )
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
def verify(
    run_dir: Annotated[Path, typer.Argument(help="Evidence of a run, or a demo's folder.")],
) -> None:
    """Recompute every draw, certificate, sum and model of a run from its evidence."""
    from .report.verify import verify as check  # noqa: PLC0415

    found = check(run_dir)
    leaders = ", ".join(str(leader) for leader in found.leaders)
    console = Console()
    console.print(f"[bold green]verified[/]: {escape(str(run_dir))}", soft_wrap=True)
    console.print(
        f"  {found.certified} of {found.rounds} rounds certified by {found.members} members; "
        f"leaders {leaders}\n"
        f"  {found.models} models recomputed from opened sums; final model "
        f"{found.final_hash[:16]}…\n"
        f"  highest epsilon {found.epsilon:.4f}; contract {found.contract}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def doctor(
    before: Annotated[
        Path | None, typer.Option(help="A model before local training (.pt or .npz).")
    ] = None,
    after: Annotated[Path | None, typer.Option(help="The same model after it.")] = None,
) -> None:
    """Show versions, test chain and encryption, and measure an update's length."""
    from .demo.doctor import self_test, update_norm  # noqa: PLC0415
    from .demo.result import versions  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    if (before is None) != (after is None):
        raise typer.BadParameter("give both --before and --after, or neither")
    for name, found in versions().items():
        console.print(f"{name:12} {found}")
    proven = self_test()
    console.print(
        f"[bold green]works[/]: {proven.members} members in this process, {proven.certified} "
        "encrypted rounds on a real chain, mean right, evidence verified"
    )
    if before is not None and after is not None:
        norm = update_norm(before, after)
        console.print(
            f"L2 norm of the update: {norm:.4g}; SwarmStrategy(clip=…) belongs a little above it"
        )


if __name__ == "__main__":
    main()
