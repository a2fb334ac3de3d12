"""The leakage grid as one page for people: a table of cells, ROC curves, and every attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from flwr_swarm_attacks import View

from .leakage_board import REGIMES
from .leakage_roc import chart

Row = Mapping[str, Any]

_EMPTY: Final[Mapping[tuple[str, str], str]] = {
    ("swarm", View.CHAIN_OBSERVER.value): "hashes only: nothing to attack",
    ("swarm", View.LEADER_PLAINTEXT_UPDATE.value): "does not exist under encryption",
    ("federated", View.COALITION.value): "the server alone sees more",
}
_NAMES: Final = {
    "local": "each site alone",
    "central": "all rows in one place",
    "federated": "federated (plain Flower)",
    "swarm": "swarm (encryption)",
}
_STYLE: Final = """
:root{--ink:#1a1f2b;--soft:#5b6475;--line:#d5dae3;--back:#fff;--band:#f4f6fa;--c0:#0b62c4;
--c1:#c2410c;--c2:#15803d;--c3:#7c3aed;--c4:#b8860b;--c5:#be185d}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--soft:#9aa4b8;--line:#333b4b;--back:#12161f;
--band:#1a2030;--c0:#6aa9ff;--c1:#ff9259;--c2:#58c77f;--c3:#b794ff;--c4:#e0b64a;--c5:#f472b6}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0 auto;
max-width:72rem;padding:2rem 1.25rem}
h1{font-size:1.6rem;margin:0 0 .4rem}h2{font-size:1.2rem;margin:2.4rem 0 .6rem}
p{max-width:46rem}.soft{color:var(--soft)}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.45rem .6rem;text-align:left;vertical-align:top}
th{font-weight:600}thead th{font-size:.85rem;color:var(--soft)}td b{font-size:1.05rem}
td small{color:var(--soft);display:block;line-height:1.35}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1.2rem}
figure{margin:0}figcaption{font-size:.88rem;margin-bottom:.2rem}svg{width:100%;height:auto}
svg text{fill:var(--soft);font-size:10px}svg .grid{stroke:var(--line)}
svg .chance{stroke:var(--soft);stroke-dasharray:3 3;fill:none}
svg polyline{fill:none;stroke-width:1.8}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}
.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}.key{font-size:.8rem;color:var(--soft);list-style:none;
padding:0;margin:.2rem 0 0}.key i{display:inline-block;width:1rem;height:0;border-top:2px solid;
margin-right:.4rem;vertical-align:middle}.bad{color:var(--c1);font-weight:600}
.pictures img{image-rendering:pixelated;width:100%;max-width:34rem}
"""


def headline(study: Row) -> list[Row]:
    """Each cell's attack with the largest AUC, in the order of the grid."""
    best: dict[tuple[str, str], Row] = {}
    for one in study["attacks"]:
        key = (one["regime"], one["view"])
        if key not in best or one["auc"]["value"] > best[key]["auc"]["value"]:
            best[key] = one
    return [best[r, v.value] for r in REGIMES for v in View if (r, v.value) in best]


def page(result: Row, pictures: Mapping[str, str]) -> str:
    """The whole page; it loads nothing.

    Parameters
    ----------
    result : mapping
        What the benchmark writes as JSON.
    pictures : mapping of str to str
        Caption to a picture as a data URI.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>Who learns what</title><style>{_STYLE}</style></head><body>",
        "<h1>Who learns what</h1>",
        "<p>Was this patient in the training set? Each cell is one vantage point of a real run. It "
        "shows the strongest of the attacks that the vantage point allows, with 95 % intervals "
        "clustered by patient; since it is the largest of several, it leans upwards. An AUC of 0.5 "
        "is a coin.</p>",
    ]
    for study in result["studies"]:
        parts += [_heading(study), _grid(study), _held(study), _charts(study), _all(study)]
    if pictures:
        figures = (
            f"<figure><figcaption>{escape(caption)}</figcaption>"
            f"<img alt='{escape(caption, quote=True)}' src='{uri}'></figure>"
            for caption, uri in pictures.items()
        )
        parts.append(f"<h2>Pictures</h2><div class='pictures'>{''.join(figures)}</div>")
    return "".join([*parts, "</body></html>\n"])


def _heading(study: Row) -> str:
    return (
        f"<h2>{escape(study['dataset'])}</h2><p class='soft'>{study['rows']} rows at "
        f"{study['sites']} sites, half of them members; {study['targets']} attacked runs of each "
        f"kind, {study['shadows']} shadow models.</p>"
    )


def _grid(study: Row) -> str:
    cells = {(one["regime"], one["view"]): one for one in headline(study)}
    views = [v.value for v in View]
    head = "".join(f"<th scope='col'>{escape(_NAMES[r])}</th>" for r in REGIMES)
    rows = []
    for view in views:
        found = "".join(f"<td>{_cell(cells.get((r, view)), (r, view))}</td>" for r in REGIMES)
        rows.append(f"<tr><th scope='row'>{escape(view)}</th>{found}</tr>")
    return (
        f"<div class='wide'><table><thead><tr><th scope='col'>who looks</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(one: Row | None, key: tuple[str, str]) -> str:
    if one is None:
        return f"<small>{escape(_EMPTY.get(key, '–'))}</small>"
    return (
        f"<b>{one['auc']['value']:.3f}</b> "
        f"<small>AUC {one['auc']['low']:.3f} – {one['auc']['high']:.3f}</small>"
        f"<small>TPR at 1 % FPR {_share(one['tpr_at_1pct_fpr'])}</small>"
        f"<small>{escape(one['attack'])}</small>"
    )


def _share(estimate: Row) -> str:
    return f"{estimate['value']:.1%} ({estimate['low']:.1%} – {estimate['high']:.1%})"


def _held(study: Row) -> str:
    items = [
        f"<li>{escape(name.replace('_', ' '))}: "
        + ("yes" if ok else "<span class='bad'>no</span>")
        + "</li>"
        for name, ok in study["holds"].items()
    ]
    for one in study["crafted"]:
        items.append(
            f"<li>crafted model, {escape(one['regime'])}: {one['share']:.0%} of "
            f"{one['pictures']} pictures robbed, {one['refused']} sites refused "
            f"{escape(one['why'])}</li>"
        )
    for one in study["source_inference"][:1]:
        items.append(
            f"<li>which site, from single updates: {one['accuracy']:.0%} "
            f"({one['low']:.0%} – {one['high']:.0%}), by chance {one['chance']:.0%}</li>"
        )
    return f"<ul>{''.join(items)}</ul>"


def _charts(study: Row) -> str:
    by_cell: dict[tuple[str, str], list[Row]] = {}
    for one in study["attacks"]:
        by_cell.setdefault((one["regime"], one["view"]), []).append(one)
    figures = []
    for (regime, view), attacks in by_cell.items():
        shown = sorted(attacks, key=lambda one: -float(one["auc"]["value"]))[:6]
        key = "".join(
            f"<li><i style='border-color:var(--c{k})'></i>{escape(one['attack'])}</li>"
            for k, one in enumerate(shown)
        )
        figures.append(
            f"<figure><figcaption>{escape(_NAMES[regime])}<br><span class='soft'>{escape(view)}"
            f"</span></figcaption>{chart([one['roc'] for one in shown])}"
            f"<ul class='key'>{key}</ul></figure>"
        )
    return f"<div class='charts'>{''.join(figures)}</div>"


def _all(study: Row) -> str:
    rows: Sequence[Row] = study["attacks"]
    body = "".join(
        f"<tr><td>{escape(one['regime'])}</td><td>{escape(one['view'])}</td>"
        f"<td>{escape(one['attack'])}</td><td>{one['auc']['value']:.3f}</td>"
        f"<td>{one['auc']['low']:.3f} – {one['auc']['high']:.3f}</td>"
        f"<td>{_share(one['tpr_at_1pct_fpr'])}</td></tr>"
        for one in rows
    )
    return (
        f"<details><summary>All {len(rows)} attacks</summary><div class='wide'><table><thead><tr>"
        "<th>regime</th><th>view</th><th>attack</th><th>AUC</th><th>95 %</th>"
        f"<th>TPR at 1 % FPR</th></tr></thead><tbody>{body}</tbody></table></div></details>"
    )
