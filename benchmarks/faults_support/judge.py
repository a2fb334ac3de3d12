"""What came of a scenario: its rounds, its models, and whether the logs name the cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flwr_swarm.chain import history
from flwr_swarm.chain.replay import replay

from . import words
from .models import Models, evidence_lines, mean_step, refused
from .scenario import BAD, NOT_JUDGED, Record, Scenario
from .words import Mark

if TYPE_CHECKING:
    from .study import Study

_LINES = 4
_NO_ROUND = "no round begins"


def judge(
    study: Study,
    records: Sequence[Record],
    marks: Sequence[Mark],
    *,
    over: bool,
    code: int | None,
) -> None:
    """Complete the records.

    Parameters
    ----------
    study : Study
    records : sequence of Record
        In the order of the study's scenarios.
    marks : sequence of Mark
        The moments in which scenarios began, and now.
    over : bool
        Whether the study has ended; else the last record is still on, and is left as it is.
    code : int or None
        Of the last relay, if the study is over.
    """
    chain = replay(history.export(study.cluster.url, study.ledger.contract))
    rounds = {r.round.number: r.round for r in chain.rounds}
    certified = {n for n, r in rounds.items() if r.certificate is not None}
    lines = evidence_lines(study.local)
    opened = {line["round"] for line in lines if line["status"] == "certified"}
    ledger = Ledger(certified=certified, opened=opened)
    models = Models.of(study.local, {n: mean_step(rounds[n].certificate.included) for n in opened})
    ended = models.wrong_at_end(study.relay.folder.relay, code) if over else ""
    evidence = refused(study.local)
    for at, record in enumerate(ended_ones(records, over)):
        last = at + 1 == len(records)
        end = max(rounds, default=0) + 1 if last else records[at + 1].round
        end = max(end, record.round + 1)
        said = words.between(study, marks[at], marks[at + 1])
        ledger.count(record, range(record.round, end), last, lines, said)
        first = rounds.get(record.round)
        if first is not None and first.certificate is not None:
            record.included = list(first.certificate.included)
        scenario = study.scenarios[at]
        sites = words.between(study, marks[at], marks[at + 1], sites=True)
        found = words.naming(f"{said}\n{sites}", scenario.names) if scenario.names else []
        record.named = bool(found) or not scenario.names
        record.log = list(dict.fromkeys([*found[:2], *words.telling(said)]))[:_LINES]
        wrong = models.wrong(end, marks[at].when, marks[at + 1].when)
        wrong = wrong or (ended if last and over else "") or evidence
        record.model_right = not wrong
        if record.outcome == "recovered":
            record.outcome = _outcome(record, rounds, scenario)
        _pass(record, wrong)


def ended_ones(records: Sequence[Record], over: bool) -> Sequence[Record]:
    """Those that end where another begins, or with their study."""
    return records if over else records[:-1]


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Which rounds got a certificate, and which of them some relay opened."""

    certified: set[int]
    opened: set[int]

    def count(
        self, record: Record, own: range, last: bool, lines: Sequence[dict[str, Any]], said: str
    ) -> None:
        """Fill in a record's rounds, those included that the ledger never saw.

        Where nobody seals, or no round begins, the ledger's number is used again by the next
        round of Flower's loop, so that there is no gap in it.

        Parameters
        ----------
        record : Record
        own : range
            Rounds of the ledger from the fault to the next scenario's.
        last : bool
            Whether there is no next scenario.
        lines : sequence of dict
            Of the evidence.
        said : str
            By the relays meanwhile.
        """
        void = [line for line in lines if line["status"] == "void" and line["parent_hash"] is None]
        unseen = sum(v["round"] in own or (last and v["round"] >= own.stop) for v in void)
        unseen += said.count(_NO_ROUND)
        record.rounds_asked = len(own) + unseen
        record.rounds_certified = len(self.certified & set(own))
        record.rounds_opened = len(self.opened & set(own))
        record.rounds_lost = record.rounds_asked - record.rounds_opened
        record.final_kept = self.certified & set(own) <= self.opened


def _outcome(record: Record, rounds: dict[int, Any], scenario: Scenario) -> str:
    first = rounds.get(record.round)
    if scenario.ends:
        return "run ends in order, last model kept"
    if record.rounds_lost:
        return "void, next round goes on"
    if first is not None and first.certificate is not None:
        members = len(first.certificate.included)
        view = first.certificate.view
        other = f", leader {view + 1} of the succession" if view else ""
        return f"same round, {members} of 4 in the sum{other}"
    return "same round"


def _pass(record: Record, wrong_model: str) -> None:
    record.why = "" if record.why == NOT_JUDGED else record.why
    wrong = []
    if record.outcome in BAD:
        wrong.append(record.outcome)
    if wrong_model:
        wrong.append(wrong_model)
    if not record.final_kept:
        wrong.append("a certified round was not opened")
    if record.rounds_lost > record.lost_allowed:
        wrong.append(f"{record.rounds_lost} rounds lost")
    if not record.named:
        wrong.append("no log names the cause")
    record.passed = not wrong
    record.why = "; ".join(filter(None, [record.why, *wrong]))
