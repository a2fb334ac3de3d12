"""A run's course: one interval for all members, and reasons to end that outlive a relay."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from course_support import reason, train
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from swarm_bench import Bench

from flwr_swarm import privacy, swarm_mod
from flwr_swarm._exceptions import ConfigurationError, UnusableMetric
from flwr_swarm.flower.course import Course
from flwr_swarm.protocol.stopped import stopped_terms
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import LedgerView, Member, Phase, Policy, Round
from flwr_swarm.report.evidence import ROUNDS
from flwr_swarm.stopping import AdaptiveInterval, Budget, Finished, Plateau, Progress

TERMS = Terms(encryption="threshold", members=16)


# --- the interval ------------------------------------------------------------------------------


def losing_app(losses: list[float], asked: list[int]) -> ClientApp:
    """Members whose validation loss is written down; site i reports i more than the mean."""
    app = ClientApp(mods=[swarm_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        config = message.content.config_records["config"]
        asked.append(int(config["local-epochs"]))
        site = int(context.node_config["partition-id"])
        loss = losses[int(config["server-round"]) - 1] + site - 1.5
        metrics = MetricRecord({"num-examples": 10, "val-loss": loss})
        arrays = message.content.array_records["arrays"]
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return app


def test_all_members_train_as_long_as_the_opened_means_say(bench: Callable[..., Bench]) -> None:
    losses, asked = [9.0, 8.0, 7.0, 7.0, 7.0, 6.0], list[int]()
    swarm = bench(app=losing_app(losses, asked))
    interval = AdaptiveInterval(start=2, longest=8, min_delta=0.01)
    course = Course(stop=[Plateau(patience=2, min_delta=0.01)], interval=interval)
    reasons = []
    for loss in losses:
        metrics = train(swarm, course)
        assert metrics is not None
        assert metrics["val-loss"] == pytest.approx(loss, abs=1e-3)
        reasons.append(reason(swarm, course))
    lengths = [asked[4 * k : 4 * k + 4] for k in range(len(losses))]
    assert lengths == [[n] * 4 for n in (2, 2, 4, 8, 4, 2)]
    assert [why is None for why in reasons] == [True, True, True, True, False, True]
    assert reasons[4] is not None
    assert reasons[4].startswith("val-loss has not fallen by more than 0.01 in 2 rounds (best 7")
    assert reasons[4].endswith("in round 3)")


def test_a_metric_that_no_member_returns_ends_the_run_by_name(bench: Callable[..., Bench]) -> None:
    swarm = bench()
    course = Course(stop=[Plateau()])
    train(swarm, course)
    with pytest.raises(UnusableMetric, match=r"no mean of 'val-loss'.* train_loss\."):
        reason(swarm, course)


def test_the_epochs_that_were_asked_for_are_the_epochs_that_are_charged(
    bench: Callable[..., Bench],
) -> None:
    """With make_private, as the example's task.dp has it: epochs come from one merged config."""
    from flwr_swarm_examples.support2_swarm.support2_app import task

    run = {"noise-multiplier": 1.0, "max-grad-norm": 1.0, "delta": 1e-3, "epsilon-budget": 90.0}
    run["local-epochs"] = 77  # what the interval overrides
    stepped: list[int] = []
    app = ClientApp(mods=[swarm_mod])

    @app.train()
    def train_privately(message: Message, context: Context) -> Message:
        config = {**context.run_config, **message.content.config_records["config"]}
        model = torch.nn.Linear(3, 1)
        arrays = message.content.array_records["arrays"]
        model.load_state_dict({n: torch.tensor(a.numpy()) for n, a in arrays.items()})
        rows = torch.ones(40, 3)
        data = torch.utils.data.TensorDataset(rows, rows.sum(dim=1, keepdim=True))
        loader = torch.utils.data.DataLoader(data, batch_size=10)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model, optimizer, loader = privacy.make_private(
            context, model, optimizer, loader, **task.dp(config)
        )
        for _ in range(int(config["local-epochs"])):
            for x, y in loader:
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(model(x), y).backward()
                optimizer.step()
                stepped.append(1)
        trained = {n: Array(t.detach().numpy()) for n, t in model.state_dict().items()}
        metrics = MetricRecord({"num-examples": 40, "val-loss": -float(config["server-round"])})
        content = RecordDict({"arrays": ArrayRecord(trained), "metrics": metrics})
        return Message(content, reply_to=message)

    shapes = {"weight": (1, 3), "bias": (1,)}
    model = ArrayRecord({n: Array(np.zeros(s, dtype=np.float32)) for n, s in shapes.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Opacus warns
        swarm = bench(app=app, nodes=3, model=model, grid={"run_config": run}, epsilon_cap=9.0)
        interval = AdaptiveInterval(start=1, longest=3)
        course = Course(stop=[Budget()], interval=interval)
        asked = 0
        why, rounds = None, 0
        while why is None and rounds < 30:
            asked += course.length or 0
            assert train(swarm, course) is not None, swarm.errors
            rounds += 1
            (charge,) = privacy.load_history(swarm.context(1).state).charges
            assert charge.steps == 4 * asked
            why = reason(swarm, course)
    assert len(stepped) == 3 * 4 * asked
    # Ended by what the ledger says, with every seal below the cap and none refused.
    assert why is not None
    assert "leave 0 members below the epsilon cap of 9" in why
    assert max(member.epsilon for member in swarm.view().members) <= 9_000_000


# --- what is public, and what a later relay knows ------------------------------------------------


def ledger(number: int, epsilons: list[int]) -> LedgerView:
    members = tuple(
        Member(index=i, account=f"0x{i + 1:040x}", encryption_key=b"k" * 32,
               commitment=b"c" * 32, epsilon=spent)
        for i, spent in enumerate(epsilons)
    )  # fmt: skip
    policy = Policy(threshold=3, min_included=3, witnesses=0, close_at=4, terms=TERMS.hash())
    current = Round(number=number, phase=Phase.CERTIFIED)
    return LedgerView(chain_id=1, contract="0x", now=0, policy=policy, members=members,
                      current=current, final=None)  # fmt: skip


means = st.lists(st.none() | st.floats(-9, 9), max_size=8)


@given(means, means)
def test_with_the_evidence_a_later_relay_goes_on_as_the_first_would_have(
    before: list[float | None], after: list[float | None]
) -> None:
    rules = [Plateau(patience=2, min_delta=0.1)]
    interval = AdaptiveInterval(start=4, longest=64, patience=2)
    first, second = (Course(stop=rules, interval=interval) for _ in range(2))
    lines = [
        {"round": n, "status": "void" if value is None else "certified", "loss": value,
         "metrics": None if value is None else {"val-loss": value}}
        for n, value in enumerate(before, 1)
    ]  # fmt: skip
    for line in lines:
        metrics = line["metrics"]
        first.record(line["round"], metrics and MetricRecord(metrics), ledger(1, [0] * 4))
    second.recall(lines)
    for n, value in enumerate(after, len(before) + 1):
        record = None if value is None else MetricRecord({"val-loss": value})
        for course in (first, second):
            course.record(n, record, ledger(n, [0] * 4))
    now = ledger(len(before) + len(after), [0] * 4)
    assert first.length == second.length
    assert first.reason(now, TERMS) == second.reason(now, TERMS)


def test_the_evidence_of_a_run_is_what_recall_reads(bench: Callable[..., Bench]) -> None:
    import json

    swarm = bench(app=losing_app([3.0, 2.0], []))
    course = Course(interval=AdaptiveInterval(start=1, longest=9, key="local-epochs"))
    train(swarm, course)
    train(swarm, course)
    text = (swarm.directory / ROUNDS).read_text(encoding="utf-8")
    later = Course(interval=AdaptiveInterval(start=1, longest=9))
    later.recall(json.loads(line) for line in text.splitlines())
    assert later.length == course.length == 2
    old = Course(interval=AdaptiveInterval(start=1, longest=9))
    old.recall({k: v for k, v in json.loads(line).items() if k != "metrics"}
               for line in text.splitlines())  # fmt: skip
    assert old.length == 1


def test_a_round_that_nobody_sealed_in_counts_once_under_its_number() -> None:
    course = Course(stop=[Plateau(patience=2)])
    course.record(1, None, ledger(0, [0] * 4))
    for number in (1, 2, 3):
        course.record(number, MetricRecord({"val-loss": 1.0}), ledger(number, [0] * 4))
    assert course.reason(ledger(3, [0] * 4), TERMS) is not None


def test_the_first_rounds_cost_is_known_from_what_was_spent_before_it() -> None:
    def capped(number: int, spent: int) -> LedgerView:
        seen = ledger(number, [spent] * 4)
        return replace(seen, policy=replace(seen.policy, epsilon_cap=5_000_000))

    course = Course(stop=[Budget()])
    assert course.reason(capped(0, 1_000_000), TERMS) is None
    course.record(1, None, None)  # a round in which the ledger was out of reach
    assert course.reason(capped(1, 1_000_000), TERMS) is None
    course.record(1, MetricRecord({"loss": 1.0}), capped(1, 3_500_000))
    why = course.reason(capped(1, 3_500_000), TERMS)
    assert why is not None
    assert "member 3 to 6" in why


def test_a_config_is_not_changed_in_place_and_never_says_two_things() -> None:
    course = Course(interval=AdaptiveInterval(start=3, longest=8))
    given_config = ConfigRecord({"lr": 0.1})
    assert dict(course.config(given_config)) == {"lr": 0.1, "local-epochs": 3}
    assert dict(given_config) == {"lr": 0.1}
    assert Course().config(given_config) is given_config
    with pytest.raises(ConfigurationError, match="'local-epochs' = 5"):
        course.config(ConfigRecord({"local-epochs": 5}))


@pytest.mark.parametrize("rule", ["plateau", Plateau, None, 5])
def test_what_is_no_rule_is_refused_before_anything_starts(rule: Any) -> None:
    with pytest.raises(ConfigurationError, match="no rule"):
        Course(stop=[rule])


# --- the course as a machine ---------------------------------------------------------------------


class CourseMachine(RuleBasedStateMachine):
    """Rounds with and without a model, votes, and relays that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = Plateau(patience=2, min_delta=0.5)
        self.interval = AdaptiveInterval(shortest=2, start=4, longest=32, patience=2)
        self.course = self.fresh()
        self.means: list[float] = []
        self.lines: list[dict[str, Any]] = []
        self.number = 0
        self.stopped = False

    def fresh(self) -> Course:
        return Course(stop=[self.rule], interval=self.interval)

    def view(self) -> LedgerView:
        seen = ledger(self.number, [0] * 4)
        terms = stopped_terms(TERMS.hash()) if self.stopped else TERMS.hash()
        return replace(seen, policy=replace(seen.policy, terms=terms))

    @rule(loss=st.integers(-3, 3))
    def trains(self, loss: int) -> None:
        self.number += 1
        self.means.append(float(loss))
        self.lines.append({"round": self.number, "metrics": {"val-loss": float(loss)}})
        self.course.record(self.number, MetricRecord({"val-loss": float(loss)}), self.view())

    @rule(opened=st.booleans())
    def leads_to_nothing(self, opened: bool) -> None:
        self.number += opened
        number = self.number if opened else self.number + 1
        self.lines.append({"round": number, "metrics": None})
        self.course.record(number, None, self.view())

    @rule()
    def another_run(self) -> None:
        self.course.forget()
        self.means, self.lines, self.number = [], [], 0

    @rule()
    def votes(self) -> None:
        self.stopped = not self.stopped

    @rule()
    def another_relay_takes_up(self) -> None:
        self.course = self.fresh()
        self.course.recall(self.lines)

    @invariant()
    def only_the_means_and_the_vote_decide(self) -> None:
        rounds = tuple(
            Finished(number=n, metrics={"val-loss": mean}) for n, mean in enumerate(self.means)
        )
        expected = self.rule.reason(Progress(view=self.view(), terms=TERMS, rounds=rounds))
        why = self.course.reason(self.view(), TERMS)
        if self.stopped:
            assert why is not None
            assert "voted to stop" in why
        else:
            assert (why is None) == (expected is None)
        length = self.course.config(ConfigRecord())["local-epochs"]
        assert length == self.interval.after(rounds)
        assert 2 <= length <= 32


CourseMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestCourse = CourseMachine.TestCase
