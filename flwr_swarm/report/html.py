"""The report: one self-contained page for the person who must answer for the data.

It is made from `result.json` alone and loads nothing from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from .charts import Axis, interval, lines, scale
from .words import LIMITS, MODELS, PROTECTED, VIEWS

_TEMPLATE: Final = Path(__file__).with_name("report.html")
_HASH_SHOWN: Final = 10

Result = Mapping[str, Any]


def render(result: Result) -> str:
    """The report on a run as one HTML page.

    Parameters
    ----------
    result : mapping
        The content of `result.json`. Every text in it is escaped.
    """
    sections = {
        "title": escape(f"Swarm training report: {result['dataset']['outcome']}"),
        "lead": _lead(result),
        "cards": _cards(result),
        "sites": _sites(result),
        "sight": _sight(),
        "auroc": _auroc(result),
        "rounds": _rounds(result),
        "epsilon": _epsilon(result),
        "attacks": _attacks(result),
        "limits": "".join(f"<li>{text}</li>" for text in LIMITS),
        "parameters": _pairs(result["parameters"]),
        "versions": _pairs(result["versions"]),
    }
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(sections)


def _certified(result: Result) -> list[Mapping[str, Any]]:
    return [entry for entry in result["rounds"] if entry["status"] == "certified"]


def _names(result: Result) -> list[str]:
    return [site["name"] for site in result["dataset"]["sites"]]


def _name(result: Result, member: int | None) -> str:
    names = _names(result)
    if member is None:
        return "–"
    return names[member] if member < len(names) else f"member {member}"


def _lead(result: Result) -> str:
    data, patients = result["dataset"], sum(s["train"] for s in result["dataset"]["sites"])
    when = escape(str(result["created"]).replace("T", " "))
    return (
        f"{len(data['sites'])} sites trained one model of <b>{escape(data['outcome'])}</b> on "
        f"{patients:,} patients ({escape(data['name'])}). No site gave away a patient's data, and "
        "no one, the leader of a round included, could read a single site's update alone; the last "
        f"section says what would defeat this. {when}."
    )


def _cards(result: Result) -> str:
    done, auroc = _certified(result), result["auroc"]
    local = [one["value"] for one in auroc["local"]]
    leaders = {entry["leader"] for entry in done}
    spent = max(done[-1]["epsilon"].values(), default=0.0) if done else 0.0
    worst = max(
        (one for one in result["attacks"] if one["model"] == "swarm"), key=lambda one: one["auc"]
    )
    cards = [
        (
            f"{auroc['swarm']['value']:.3f}",
            "AUROC of the swarm on patients of no site",
            f"a site alone reaches {sum(local) / len(local):.3f} on average",
        ),
        (
            f"{len(done)} of {len(result['rounds'])}",
            "rounds certified by a committee",
            f"{len(leaders)} different leaders",
        ),
        (
            f"ε = {spent:.2f}",
            "privacy loss, highest of all sites",
            f"agreed budget {result['parameters']['epsilon-budget']:g}",
        ),
        (
            f"{worst['auc']:.3f}",
            "best attack on the swarm’s model (AUC)",
            "0.5 is a coin toss, 1.0 is certainty",
        ),
    ]
    return "".join(
        f'<div class="card"><div class="figure">{escape(figure)}</div>'
        f'<div class="what">{escape(what)}</div><div class="beside">{escape(beside)}</div></div>'
        for figure, what, beside in cards
    )


def _sites(result: Result) -> str:
    data = result["dataset"]
    rows = [
        [str(i), site["name"], f"{site['train']:,}", f"{site['held_out']:,}",
         f"{site['outcome_share']:.0%}"]
        for i, site in enumerate(data["sites"])
    ]  # fmt: skip
    outside = data["external"]
    rows.append(
        ["–", f"External: {outside['name']}", "0", f"{outside['rows']:,}",
         f"{outside['outcome_share']:.0%}"]
    )  # fmt: skip
    head = ["Site", "Patients", "Trained on", "Never trained on", "With the outcome"]
    return _table(head, [[escape(cell) for cell in row] for row in rows], numbers={2, 3, 4})


def _sight() -> str:
    rows = [[f"<b>{who}</b>", sees, never] for who, sees, never in PROTECTED]
    return _table(["Who", "Could see", "Could not see, and why"], rows)


def _auroc(result: Result) -> str:
    auroc = result["auroc"]
    rows: list[tuple[str, Mapping[str, float], str]] = [
        (f"{escape(one['site'])} alone", one, "") for one in auroc["local"]
    ]
    rows += [
        (MODELS.get(name, escape(name)), score, "ours" if name == "swarm" else "")
        for name, score in auroc.items()
        if name != "local"
    ]
    axis = Axis.around([s[k] for _, s, _ in rows for k in ("low", "high")], step=0.05)
    cells = [
        [
            name,
            f"{s['value']:.3f}",
            f"{s['low']:.3f} – {s['high']:.3f}",
            interval(axis, s["value"], s["low"], s["high"]),
        ]
        for name, s, _ in rows
    ]
    head = ["Trained on", "AUROC", "95 % interval", scale(axis)]
    return _table(head, cells, numbers={1, 2}, classes=[kind for _, _, kind in rows])


def _rounds(result: Result) -> str:
    rows = []
    for entry in result["rounds"]:
        certificate = entry["certificate"]
        if certificate is None:
            reason = escape(str(entry.get("reason", "")))
            rows.append([str(entry["round"]), "–", "–", "–", f"void: {reason}", "–", "–", "–"])
            continue
        late = f", {certificate['view'] + 1}. choice" if certificate["view"] else ""
        loss = "–" if entry["loss"] is None else f"{entry['loss']:.3f}"
        rows.append(
            [
                str(entry["round"]),
                f"<b>{escape(_name(result, entry['leader']))}</b>{late}",
                _members(entry["committee"]),
                _members(entry["included"]),
                _members(certificate["signers"]),
                _hash(entry["parent_hash"]),
                _hash(entry["aggregate_hash"]),
                loss,
            ]
        )
    head = [
        "Round", "Leader", "Committee", "In the sum", "Signed by", "Model trained on",
        "Sum certified", "Loss",
    ]  # fmt: skip
    return _table(head, rows, numbers={7})


def _epsilon(result: Result) -> str:
    done = [entry for entry in result["rounds"] if entry["epsilon"]]
    if not done:
        return "<p>No round was certified, so nothing was spent.</p>"
    names = _names(result)
    series = {
        name: [float(entry["epsilon"][str(member)]) for entry in done]
        for member, name in enumerate(names)
    }
    budget, delta = result["parameters"]["epsilon-budget"], result["parameters"]["delta"]
    final = ", ".join(f"{name} {values[-1]:.2f}" for name, values in series.items())
    title = f"Cumulative epsilon over rounds, budget {budget:g}. After the last: {final}"
    chart = lines([e["round"] for e in done], series, limit=float(budget), title=title)
    rows = [
        [str(entry["round"]), *(f"{values[index]:.3f}" for values in series.values())]
        for index, entry in enumerate(done)
    ]
    table = _table(["Round", *map(escape, names)], rows, numbers=set(range(1, len(names) + 1)))
    return (
        f"<figure>{chart}<figcaption>Cumulative ε by round, at δ = {delta:g}. Each line is a site."
        f"</figcaption></figure><details><summary>The numbers</summary>{table}</details>"
    )


def _attacks(result: Result) -> str:
    attacks = result["attacks"]
    axis = Axis.around(
        [a[k] for a in attacks for k in ("auc_low", "auc_high")], step=0.05, mark=0.5
    )
    parts = []
    for model in dict.fromkeys(one["model"] for one in attacks):
        mine = [one for one in attacks if one["model"] == model]
        rows = [
            [
                escape(one["attack"]),
                f"{one['auc']:.3f}",
                f"{one['auc_low']:.3f} – {one['auc_high']:.3f}",
                interval(axis, one["auc"], one["auc_low"], one["auc_high"]),
                f"{one['tpr_at_1pct_fpr']:.1%}",
                f"{one['tpr_low']:.1%} – {one['tpr_high']:.1%}",
            ]
            for one in mine
        ]
        head = ["Attack", "AUC", "95 %", scale(axis), "Found at 1 % false alarms", "95 %"]
        view = VIEWS.get(mine[0]["view"], escape(mine[0]["view"]))
        caption = f"<b>{MODELS.get(model, escape(model))}</b> <span>{view}</span>"
        kind = "ours" if model == "swarm" else ""
        parts.append(
            _table(head, rows, numbers={1, 2, 4, 5}, caption=caption, classes=[kind] * len(rows))
        )
    return "".join(parts)


# --- pieces ------------------------------------------------------------------------------------


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: set[int] | None = None,
    caption: str = "",
    classes: Sequence[str] = (),
) -> str:
    """A table of cells that are HTML already; the first cell of a row is its heading."""
    right = numbers or set()

    def attribute(column: int) -> str:
        return ' class="n"' if column in right else ""

    top = "".join(f'<th scope="col"{attribute(i)}>{cell}</th>' for i, cell in enumerate(head))
    body = []
    for index, row in enumerate(rows):
        kind = f' class="{classes[index]}"' if index < len(classes) and classes[index] else ""
        first = f'<th scope="row"{attribute(0)}>{row[0]}</th>'
        rest = "".join(f"<td{attribute(i)}>{cell}</td>" for i, cell in enumerate(row[1:], 1))
        body.append(f"<tr{kind}>{first}{rest}</tr>")
    named = f"<caption>{caption}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{named}<thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _members(members: Iterable[int]) -> str:
    chips = "".join(f'<span class="chip">{int(member)}</span>' for member in sorted(members))
    return f'<span class="chips">{chips}</span>'


def _hash(value: str | None) -> str:
    if value is None:
        return "–"
    whole = escape(str(value))
    return f'<code title="{whole}">{escape(str(value)[:_HASH_SHOWN])}…</code>'


def _pairs(values: Mapping[str, Any]) -> str:
    return "".join(
        f"<div><dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd></div>" for k, v in values.items()
    )
