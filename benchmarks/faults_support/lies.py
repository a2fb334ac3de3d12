"""Sites that err, members that lie, relays that lie."""

from __future__ import annotations

from . import calls
from .scenario import BEGIN, Scenario, one, told


def byzantine() -> list[Scenario]:
    g = "byzantine"
    return [
        one(
            g,
            "nan",
            "site",
            "seal",
            "a site's update is NaN",
            orders=told("d", "seal", "nan"),
            names=r"d sealed nothing|without members \[3\]",
        ),
        one(
            g,
            "train-raises",
            "site",
            "seal",
            "a site's train function raises",
            orders=told("c", "seal", "raise"),
            names=r"c sealed nothing|without members \[2\]",
        ),
        one(
            g,
            "odd-metric",
            "site",
            "seal",
            "a site returns one metric more than the others",
            orders=told("b", "seal", "extra_metric"),
            names=r"members \[1\]",
        ),
        one(
            g,
            "wrong-sum",
            "member",
            "merge",
            "every member that leads signs a wrong sum in view 0: the leader adds an update twice",
            orders=(("all", "merge", {"wrong_sum_if_leader": 1}),),
            names=r"members signed different sums: .*; the leader is \d",
        ),
        one(
            g,
            "two-sums",
            "member",
            "merge",
            "the leader signs the right sum and hands over another",
            orders=(("all", "merge", {"two_sums_if_leader": 1}),),
            names=r"the sum of leader \d is not the one that it signed",
        ),
        one(
            g,
            "replay",
            "member",
            "seal",
            "a member answers with what it sealed a round before",
            orders=told("d", "seal", "replay"),
            names=r"sealed updates of members \[3\] are not in the sum",
        ),
        one(
            g,
            "false-opening",
            "member",
            "open",
            "a holder releases a false opening",
            orders=(*told("b", "open", "false_opening"), ("acd", "open", {"linger_after": 3.0})),
            names=r"the opening of member 1 does not agree",
        ),
        one(
            g,
            "slow-site",
            "site",
            "seal",
            "a site trains past the deadline",
            orders=told("c", "seal", "slow", 45.0),
            names=r"seals of members \[2\]",
        ),
        one(
            g,
            "bad-dealing",
            "member",
            "seal",
            "a member deals a bad key share to another",
            orders=told("d", "seal", "bad_dealing", 0),
            names="dealt shares that do not open",
        ),
        one(
            g,
            "vote-to-stop",
            "members",
            "seal",
            "three members vote to stop the study in mid-round",
            act=calls.vote(calls.stop_of_study, *"abc"),
            ends=True,
            names="voted to stop",
        ),
    ]


def openers() -> list[Scenario]:
    return [
        one(
            "opener",
            "false-opener",
            "member and relay",
            BEGIN,
            "kill -9 of all that the relay runs; then member d opens the next round on the model "
            "before the last, and member b relays",
            lead=1,
            act=calls.open_falsely("d", "b"),
            orders=(("all", "seal", {"slow": 8.0}),),
            lost=1,
            names=r"member 3 opened round \d+ on model",
        ),
    ]


def relay_lies() -> list[Scenario]:
    g = "hostile"
    return [
        one(
            g,
            "duplicates",
            "relay",
            "seal",
            "the relay sends every message of a round twice",
            orders=(
                ("relay", "seal", {"duplicate": 1}),
                ("relay", "merge", {"duplicate": 1}),
                ("relay", "open", {"duplicate": 1}),
            ),
            unnamed="what comes twice has its effect once: nothing is wrong",
        ),
        one(
            g,
            "other-model-to-one",
            "relay",
            "seal",
            "the relay sends one member another model",
            lead=1,
            orders=told("relay", "seal", "other_model_to_one"),
            names=r"sealed nothing: .*ModelRefused",
        ),
        one(
            g,
            "other-model-to-all",
            "relay",
            BEGIN,
            "the relay sends all members another model",
            lead=1,
            orders=told("relay", "seal", "other_model_to_all"),
            lost=1,
            names=r"nobody sealed in round \d+",
        ),
    ]
