"""The leakage grid as one page for people: a table of cells, ROC curves, and every attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from flwr_swarm_attacks import View

from .leakage_board import REGIMES
from .leakage_roc import chart
from .leakage_words import ATTACKS, EMPTY, GUESSING, HELD, LEVELS, READING, WHO, level
from .leakage_words import REGIMES as NAMES

Row = Mapping[str, Any]

_STYLE: Final = """
:root{--ink:#1a1f2b;--soft:#5b6475;--line:#d5dae3;--back:#fff;--band:#f4f6fa;--c0:#0b62c4;
--c1:#c2410c;--c2:#15803d;--c3:#7c3aed;--c4:#b8860b;--c5:#be185d;
--l0:#e3f3e8;--l1:#fdf3d0;--l2:#fcdcbf;--l3:#f8c4c4}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--soft:#9aa4b8;--line:#333b4b;--back:#12161f;
--band:#1a2030;--c0:#6aa9ff;--c1:#ff9259;--c2:#58c77f;--c3:#b794ff;--c4:#e0b64a;--c5:#f472b6;
--l0:#143222;--l1:#3a3312;--l2:#472b12;--l3:#4c1d1f}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0 auto;
max-width:72rem;padding:2rem 1.25rem}
h1{font-size:1.6rem;margin:0 0 .4rem}h2{font-size:1.2rem;margin:2.4rem 0 .6rem}
p{max-width:46rem}.soft{color:var(--soft)}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.5rem .6rem;text-align:left;
vertical-align:top}th{font-weight:600}thead th{font-size:.85rem;color:var(--soft)}
tbody th{width:24%}th small{font-weight:400}td b{font-size:1.1rem}
small{color:var(--soft);display:block;line-height:1.4;font-size:.78rem}td em{font-style:normal;
font-size:.78rem;margin-left:.3rem}.grid td{width:19%;border-left:3px solid var(--back)}
.l0{background:var(--l0)}.l1{background:var(--l1)}.l2{background:var(--l2)}
.l3{background:var(--l3)}.scale span{padding:.1rem .55rem;margin-right:.3rem;font-size:.85rem;
display:inline-block}.held{list-style:none;padding:0}.held li{margin:.2rem 0}
.held b{display:inline-block;min-width:2.4rem;color:var(--c2)}.held b.bad{color:var(--c1)}
summary{cursor:pointer;margin:1rem 0 .4rem}dt{font-weight:600;margin-top:.5rem}dd{margin:0}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1.2rem}
figure{margin:0}figcaption{font-size:.88rem;margin-bottom:.2rem}svg{width:100%;height:auto}
svg text{fill:var(--soft);font-size:10.5px}svg .lines{stroke:var(--line);fill:none}
svg .whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
svg .chance{stroke:var(--soft);stroke-dasharray:3 3;fill:none}
svg polyline{fill:none;stroke-width:1.8}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}
.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}.key{font-size:.8rem;color:var(--soft);list-style:none;
padding:0;margin:.2rem 0 0}.key i{display:inline-block;width:1rem;height:0;border-top:2px solid;
margin-right:.4rem;vertical-align:middle}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(24rem,1fr));gap:1.4rem}
.pictures img{image-rendering:pixelated;width:100%;border:1px solid var(--line)}
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
        "<p class='soft'>Who can tell, from where they stand, whether a patient's record was used "
        "in training; attacked with real data, on real runs.</p>",
        "<h2>How to read this page</h2>",
        *(f"<p>{text}</p>" for text in READING),
        f"<p class='scale'>{_scale()}</p>",
    ]
    for study in result["studies"]:
        parts += [_heading(study), _grid(study), _held(study), _charts(study), _all(study)]
    if pictures:
        figures = (
            f"<figure><figcaption>{escape(caption)}</figcaption>"
            f"<img alt='{escape(caption, quote=True)}' src='{uri}'></figure>"
            for caption, uri in pictures.items()
        )
        parts.append(
            "<h2>Pictures: what an update or a model gives back</h2><p>Above are true pictures, "
            "below what the attack made of a plain update, or of a model. Encryption hides single "
            "updates, and members refuse crafted models. A sum over few pictures, and the model "
            "itself, only differential privacy protects.</p>"
            f"<div class='pictures'>{''.join(figures)}</div>"
        )
    known = "".join(f"<dt>{escape(n)}</dt><dd>{escape(what)}</dd>" for n, what in ATTACKS.items())
    parts.append(
        f"<h2>The attacks</h2><dl>{known}</dl><p class='soft'>Made by python -m benchmarks.leakage "
        f"in {result['seconds']:.0f} s.</p>"
    )
    return "".join([*parts, "</body></html>\n"])


def _scale() -> str:
    words = [GUESSING, *((word, name) for _, word, name in LEVELS)]
    return "".join(f"<span class='{name}'>{escape(word)}</span>" for word, name in words)


def _heading(study: Row) -> str:
    return (
        f"<h2>{escape(study['dataset'])}</h2><p class='soft'>{study['rows']} rows at "
        f"{study['sites']} sites, half of them members; {study['targets']} attacked runs of each "
        f"kind, {study['shadows']} shadow models.</p>"
    )


def _grid(study: Row) -> str:
    cells = {(one["regime"], one["view"]): one for one in headline(study)}
    head = "".join(f"<th scope='col'>{escape(NAMES[r])}</th>" for r in REGIMES)
    rows = []
    for view, (name, what) in WHO.items():
        found = "".join(_cell(cells.get((r, view.value)), (r, view.value)) for r in REGIMES)
        rows.append(
            f"<tr><th scope='row'>{escape(name)}<small>{escape(what)}</small></th>{found}</tr>"
        )
    return (
        "<div class='wide'><table class='grid'><thead><tr><th scope='col'>who looks</th>"
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(one: Row | None, key: tuple[str, str]) -> str:
    if one is None:
        return f"<td><small>{escape(EMPTY.get(key, 'not attacked in this run'))}</small></td>"
    (word, name), auc = level(one["auc"]), one["auc"]
    return (
        f"<td class='{name}'><b>{auc['value']:.3f}</b><em>{word}</em>"
        f"<small>AUC ({auc['low']:.3f}\u2009–\u2009{auc['high']:.3f})</small>"
        f"<small>found at 1 %: {_share(one['tpr_at_1pct_fpr'])}</small>"
        f"<small>by {escape(one['attack'])}</small></td>"
    )


def _share(estimate: Row) -> str:
    low, high = (f"{100 * estimate[end]:.1f}" for end in ("low", "high"))
    return f"{100 * estimate['value']:.1f}\u2009% ({low}\u2009–\u2009{high})"


def _held(study: Row) -> str:
    items = []
    for name, ok in study["holds"].items():
        word = "<b>yes</b>" if ok else "<b class='bad'>NO</b>"
        items.append(f"<li>{word} {escape(HELD.get(name, name.replace('_', ' ')))}</li>")
    for one in study["strength"]:
        auc, tpr = one["separation"]["auc"], one["separation"]["tpr"]
        items.append(
            f"<li>Strength on a net that overfits, in one place: {escape(one['attack'])} reaches "
            f"AUC {auc['value']:.3f} ({auc['low']:.3f} – {auc['high']:.3f}; at least "
            f"{one['wanted_auc']:.2f} is asked) and finds {_share(tpr)} at 1 %"
            + (f" (at least {100 * one['wanted_tpr']:.0f}\u2009%)" if one["wanted_tpr"] else "")
            + ".</li>"
        )
    for one in study["crafted"]:
        refused = f"; {one['refused']} sites refused ({one['why']})" if one["refused"] else ""
        items.append(
            f"<li>Crafted model, {escape(NAMES[one['regime']])}: {one['share']:.0%} of "
            f"{one['pictures']} pictures robbed{escape(refused)}.</li>"
        )
    told = study["source_inference"]
    if told:
        mean = sum(one["accuracy"] for one in told) / len(told)
        low, high = min(one["low"] for one in told), max(one["high"] for one in told)
        items.append(
            f"<li>At which site a training record lies, from single updates: named for {mean:.0%} "
            f"(between {low:.0%} and {high:.0%} over {len(told)} runs); by chance "
            f"{told[0]['chance']:.0%}. Under encryption nobody has them.</li>"
        )
    return f"<ul class='held'>{''.join(items)}</ul>"


def _charts(study: Row) -> str:
    by_cell: dict[tuple[str, str], list[Row]] = {}
    for one in study["attacks"]:
        by_cell.setdefault((one["regime"], one["view"]), []).append(one)
    figures = []
    for view, (name, _) in WHO.items():
        for regime in REGIMES:
            shown = sorted(
                by_cell.get((regime, view.value), []), key=lambda one: -float(one["auc"]["value"])
            )[:6]
            if shown:
                figures.append(_figure(name, regime, shown))
    return (
        "<h3>Who is found, and who is wrongly accused</h3><p class='soft'>Both axes are "
        "logarithmic: what counts is the left, where hardly anybody is wrongly accused. The dashed "
        "line is a coin. The bar at 1 % is the 95 % interval of the strongest attack. Six attacks "
        f"of each onlooker at most.</p><div class='charts'>{''.join(figures)}</div>"
    )


def _figure(name: str, regime: str, shown: Sequence[Row]) -> str:
    key = "".join(
        f"<li><i style='border-color:var(--c{k})'></i>{escape(one['attack'])} "
        f"{one['auc']['value']:.3f}</li>"
        for k, one in enumerate(shown)
    )
    best = shown[0]["tpr_at_1pct_fpr"]
    drawn = chart([one["roc"] for one in shown], interval=(best["low"], best["high"]))
    return (
        f"<figure><figcaption><b>{escape(name)}</b><br><span class='soft'>"
        f"{escape(NAMES[regime])}</span></figcaption>{drawn}<ul class='key'>{key}</ul></figure>"
    )


def _all(study: Row) -> str:
    rows: Sequence[Row] = study["attacks"]
    body = "".join(
        f"<tr><td>{escape(NAMES[one['regime']])}</td><td>{escape(one['view'])}</td>"
        f"<td>{escape(one['attack'])}</td><td>{one['auc']['value']:.3f}</td>"
        f"<td>{one['auc']['low']:.3f} – {one['auc']['high']:.3f}</td>"
        f"<td>{_share(one['tpr_at_1pct_fpr'])}</td></tr>"
        for one in rows
    )
    return (
        f"<details><summary>All {len(rows)} attacks</summary><div class='wide'><table><thead><tr>"
        "<th>regime</th><th>view</th><th>attack</th><th>AUC</th><th>95 %</th>"
        f"<th>found at 1 %</th></tr></thead><tbody>{body}</tbody></table></div></details>"
    )
