"""The utility benchmark's results as a table in Markdown, and what is promised below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def markdown(studies: Sequence[Mapping[str, Any]]) -> str:
    """One table, a column for each data set, and the promises of each."""
    lines = [
        "| trained as | went through | " + " | ".join(_title(study) for study in studies) + " |",
        "|---" * (2 + len(studies)) + "|",
    ]
    found = [{_key(cell): cell for cell in study["cells"]} for study in studies]
    went = {key: cell["went_through"] for cells in found for key, cell in cells.items()}
    for (regime, epsilon), through in went.items():
        if regime.startswith("local: "):
            continue  # a site's name is one data set's; below
        name = regime if epsilon is None else f"{regime}, ε ≤ {epsilon:g}"
        row = [_entry(cells[regime, epsilon]) for cells in found]
        lines.append(f"| {name} | {through} | " + " | ".join(row) + " |")
    return "\n".join([*lines, "", *_each(studies), "", *_promises(studies)]) + "\n"


def _title(study: Mapping[str, Any]) -> str:
    judges = study["judged_on"]
    return (
        f"{study['dataset']}: {sum(study['trained_on'])} train, {judges['patients']} judge "
        f"({judges['cases']} cases), δ = {study['delta']:.0e}"
    )


def _key(cell: Mapping[str, Any]) -> tuple[str, float | None]:
    return cell["regime"], cell["epsilon_asked"]


def _entry(cell: Mapping[str, Any]) -> str:
    """AUROC [over patients] (over seeds), and the epsilon that was spent."""
    low, high = cell["interval_over_patients"]
    text = f"{cell['auroc']:.3f} [{low:.3f}, {high:.3f}]"
    if len(cell["seeds"]) > 1:
        least, most = cell["spread_over_seeds"]
        text += f" ({least:.3f} to {most:.3f})"
    if cell["epsilon_spent"] is not None:
        text += f" ε {cell['epsilon_spent']:.3f}"
    return text


def _each(studies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for study in studies:
        alone = [c for c in study["cells"] if c["regime"].startswith("local: ")]
        each = ", ".join(f"{c['regime'].removeprefix('local: ')} {_entry(c)}" for c in alone)
        yield f"- {study['dataset']}, each site alone: {each}"


def _promises(studies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for study in studies:
        for line in study["judged"]:
            yield f"- {study['dataset']}: {line['words']}"
