"""All gates on one project and on the product, and on planted bugs, which they must find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .audit import MakePrivate, Observed, Trainer, observe, product_trainer
from .audit_project import opened
from .gate import ALPHA, GateResult
from .gates_dp import dp_gates
from .gates_product import Progress, product_controls, product_gates
from .planted import BUGS, right

SITES = (0, 1)
ROUNDS = 12
"""Of the small sites: so many that gates miss no planted bug, even at an alpha of 1e-11.

An accountant that forgets is the hardest to find: with four rounds 1000 canaries miss it at one
site in fifty runs, with twelve in 10^21.
"""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found.

    Parameters
    ----------
    gates : tuple of GateResult
        On the project, and on the product as its swarm would use it.
    controls : mapping of str to tuple of str
        For each planted bug the gates that it trips, on small sites and rounds of our own.
    quiet : bool
        Whether no gate on DP trips on such sites without a bug.
    """

    gates: tuple[GateResult, ...]
    controls: Mapping[str, tuple[str, ...]]
    quiet: bool

    @property
    def tripped(self) -> tuple[str, ...]:
        """Gates that the project tripped."""
        return tuple(gate.gate for gate in self.gates if gate.tripped)

    @property
    def bites(self) -> bool:
        """Whether the gates found every planted bug, and nothing where there is none."""
        return self.quiet and all(self.controls.values())


def project_gates(
    folder: Path,
    *,
    canaries: int = 1000,
    rounds: int = 4,
    overrides: Mapping[str, Any] | None = None,
    alpha: float = ALPHA,
    progress: Progress = lambda _: None,
) -> list[GateResult]:
    """All DP gates on the Flower project in `folder`, each of false alarm `alpha`.

    Raises
    ------
    ConfigurationError
        If there is nothing to audit: no app, or training without DP.
    """
    with opened(folder, overrides=overrides) as project:
        seen: list[dict[str, Observed]] = []
        for sparse in (False, True):
            seen.append({})
            for site in SITES:
                progress(f"site {site}{', nearly without data' if sparse else ''}")
                seen[-1][f"site {site}"] = observe(
                    project.trainer(),
                    context=project.context(site),
                    rounds=rounds,
                    canaries=canaries,
                    sparse=sparse,
                )
    return dp_gates(*seen, alpha=alpha)


def audit_project(
    folder: Path, *, alpha: float = ALPHA, progress: Progress = lambda _: None, **options: Any
) -> Audit:
    """`project_gates`, whose options these are, and the controls; all at one `alpha`."""
    gates = [
        *project_gates(folder, alpha=alpha, progress=progress, **options),
        *product_gates(alpha=alpha, progress=progress),
    ]
    controls = {}
    for name, bug in BUGS.items():
        progress(f"control: {name}")
        controls[name] = tuple(g.gate for g in small_site_gates(bug, alpha=alpha) if g.tripped)
    controls |= product_controls(progress=progress)
    quiet = not any(gate.tripped for gate in small_site_gates(alpha=alpha))
    return Audit(gates=tuple(gates), controls=controls, quiet=quiet)


def small_site_gates(
    make_private: MakePrivate = right,
    *,
    canaries: int = 1000,
    trainer: Trainer | None = None,
    alpha: float = ALPHA,
) -> list[GateResult]:
    """All DP gates on two small sites of our own that train with `make_private`."""
    train = trainer or product_trainer()
    dense, thin = (
        {
            f"site {site}": observe(
                train, rounds=ROUNDS, canaries=canaries, sparse=sparse, make_private=make_private
            )
            for site in SITES
        }
        for sparse in (False, True)
    )
    return dp_gates(dense, thin, alpha=alpha)
