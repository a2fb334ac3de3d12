"""`flwr-swarm audit`: all gates on a project and on the product; exit code 1 if one trips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .._exceptions import GateTripped
from . import output
from .options import Json

if TYPE_CHECKING:
    from flwr_swarm_attacks.gates_project import Audit

EXAMPLE: Final = "Example: flwr-swarm audit examples/support2_swarm"


@output.reports
def audit(
    project: Annotated[
        Path, typer.Argument(help="Folder of a Flower app that calls make_private.")
    ],
    canaries: Annotated[
        int, typer.Option(min=50, help="Canaries at each site; more find smaller faults.")
    ] = 1000,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of training at each site.")] = 4,
    run_config: Annotated[
        list[str] | None, typer.Option("--run-config", help="Overrides, as for flwr run.")
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(min=1e-15, max=0.01, help="Chance of a false alarm, for each gate."),
    ] = 1e-5,
    as_json: Json = False,
) -> None:
    """Plant canaries into a project's training, and test its noise, clipping and accounting.

    Ciphertexts, keys and refusals of crafted models are tested on small rounds beside it.
    """
    from flwr_swarm_attacks.gates_project import audit_project  # noqa: PLC0415 - torch is slow

    from ..flower.compat import parse_config  # noqa: PLC0415

    found = audit_project(
        project,
        canaries=canaries,
        rounds=rounds,
        alpha=alpha,
        overrides=parse_config(run_config) if run_config else {},
        progress=(lambda _: None) if as_json else output.note,
    )
    if as_json:
        output.show_json(
            {
                "gates": [gate.to_json() for gate in found.gates],
                "controls": {name: list(gates) for name, gates in found.controls.items()},
                "quiet": found.quiet,
            }
        )
    else:
        _show(found)
    if found.tripped:
        raise GateTripped(
            f"{len(found.tripped)} of {len(found.gates)} gates tripped: {'; '.join(found.tripped)}"
        )
    if not found.bites:
        missed = [name for name, gates in found.controls.items() if not gates]
        raise GateTripped(
            f"gates found nothing in {', '.join(missed)}: trust no gate here"
            if missed
            else "a gate tripped where no bug is: trust no gate here"
        )


def _show(found: Audit) -> None:
    console = output.console()
    console.print(
        output.table(
            ("gate", ">found", ">limit", ">power", "against", "result"),
            [
                (
                    gate.gate,
                    f"{gate.statistic:.3g}",
                    f"{gate.threshold:.3g}",
                    f"{gate.power:.3f}",
                    gate.against,
                    "TRIPPED" if gate.tripped else "passed",
                )
                for gate in found.gates
            ],
        )
    )
    caught = sum(bool(gates) for gates in found.controls.values())
    alarm = max(gate.false_alarm for gate in found.gates)
    console.print(
        f"controls: {caught} of {len(found.controls)} planted faults tripped a gate, "
        f"{'none' if found.quiet else 'ONE OR MORE'} tripped without a fault; a gate trips on a "
        f"right build with probability {alarm:.0e} at most"
    )
