"""The demo's closing tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

NAMES: Final = {
    "pooled": "all rows in one place",
    "federated": "federated (plain Flower)",
    "swarm": "swarm (encryption, DP)",
    "swarm_without_dp": "swarm (encryption, no DP)",
    "plaintext": "single updates, in the clear",
}
"""What a person calls each model of `result.json`."""


def print_tables(result: Mapping[str, Any], console: Console) -> None:
    """AUROC and attacks, with 95 % intervals."""
    console.print()
    console.print(_auroc(result))
    console.print(_attacks(result))


def _auroc(result: Mapping[str, Any]) -> Table:
    external = result["dataset"]["external"]
    table = _table(
        f"AUROC on {external['rows']} patients of no site ({result['dataset']['outcome']})"
    )
    table.add_column("trained on")
    table.add_column("AUROC", justify="right")
    table.add_column("95 % interval", justify="right")
    rows = [(f"local: {one['site']}", one) for one in result["auroc"]["local"]]
    rows += [(NAMES[k], v) for k, v in result["auroc"].items() if k != "local"]
    for name, score in rows:
        style = "bold cyan" if name == NAMES["swarm"] else None
        interval = f"{score['low']:.3f} – {score['high']:.3f}"
        table.add_row(name, f"{score['value']:.3f}", interval, style=style)
    return table


def _attacks(result: Mapping[str, Any]) -> Table:
    table = _table("Was this patient in the training set? (AUC 0.5 is a coin)")
    table.add_column("attacked model")
    for name in ("AUC", "95 %", "TPR at\n1 % FPR", "95 %"):
        table.add_column(name, justify="right")
    for model in dict.fromkeys(one["model"] for one in result["attacks"]):
        style = "bold cyan" if model == "swarm" else None
        table.add_row(NAMES[model], style=style or "bold")
        for one in result["attacks"]:
            if one["model"] == model:
                table.add_row(
                    f"  {one['attack']}",
                    f"{one['auc']:.3f}",
                    f"{one['auc_low']:.3f} – {one['auc_high']:.3f}",
                    f"{one['tpr_at_1pct_fpr']:.1%}",
                    f"{one['tpr_low']:.1%} – {one['tpr_high']:.1%}",
                    style=style,
                )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
