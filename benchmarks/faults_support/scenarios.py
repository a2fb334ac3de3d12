"""The scenarios, in the order in which they run; a group shares one consortium and one study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import acts, disk
from .scenario import BEGIN, TRIPS, Order, Scenario

SLOW: Order = ("d", "seal", {"slow": 5.0})
"""The last member trains for longer, so that there is a sealing phase to hit."""
HOLD_MERGE: Order = ("all", "merge", {"linger_before": 4.0})
HOLD_OPEN: Order = ("all", "open", {"linger_after": 4.0})
"""Officers and holders take their time, so that there is a process to hit."""
WINDOW: dict[str, tuple[Order, ...]] = {
    "seal": (SLOW,),
    "merge": (HOLD_MERGE,),
    "open": (HOLD_OPEN,),
}
_DEAD_CLIENT = 62.0
"""Flower's SuperNode notices after 57 s that its ClientApp is gone."""


def _matrix() -> list[Scenario]:
    made = []
    for trip in TRIPS:
        who = "d" if trip == "seal" else "ordinary"
        made.append(
            Scenario(
                name=f"supernode-{trip}",
                role="supernode",
                trip=trip,
                fault="kill -9 of an ordinary member's SuperNode",
                group="members",
                act=acts.kill("supernode", who),
                orders=WINDOW[trip],
                after=acts.all_ready,
            )
        )
    for trip in TRIPS[1:]:
        made.append(
            Scenario(
                name=f"leader-supernode-{trip}",
                role="supernode (leader)",
                trip=trip,
                fault="kill -9 of the leader's SuperNode",
                group="members",
                act=acts.kill("supernode", "leader"),
                orders=WINDOW[trip],
                after=acts.all_ready,
            )
        )
    for trip in TRIPS:
        who = "d" if trip == "seal" else "ordinary"
        made.append(
            Scenario(
                name=f"clientapp-{trip}",
                role="clientapp",
                trip=trip,
                fault="kill -9 of an ordinary member's ClientApp",
                group="clientapps",
                act=acts.kill("clientapp", who),
                orders=WINDOW[trip],
                after=acts.settle(_DEAD_CLIENT - 35.0),
            )
        )
    made.append(
        Scenario(
            name="leader-clientapp-merge",
            role="clientapp (leader)",
            trip="merge",
            fault="kill -9 of the leader's ClientApp",
            group="clientapps",
            act=acts.kill("clientapp", "leader"),
            orders=WINDOW["merge"],
        )
    )
    for role, title in (
        ("chain", "chain server"),
        ("serverapp", "ServerApp"),
        ("superlink", "SuperLink"),
    ):
        made += [
            Scenario(
                name=f"{role}-{trip}",
                role=role,
                trip=trip,
                fault=f"kill -9 of the {title}",
                group=role,
                act=acts.kill(role),
                orders=WINDOW[trip],
            )
            for trip in TRIPS
        ]
    for trip, to in zip(TRIPS, "bcd", strict=True):
        made.append(
            Scenario(
                name=f"relay-{trip}" if trip != "open" else "relay-final-open",
                role="relay",
                trip=trip,
                fault="kill -9 of all that the relay runs (SuperLink, ServerApp, command); "
                + ("of the last round; " if trip == "open" else "")
                + f"member {to} relays",
                group="relays",
                act=acts.move_relay(to),
                orders=WINDOW[trip],
                final=trip == "open",
            )
        )
    return made


def _one(group: str, name: str, role: str, trip: str, fault: str, **more: Any) -> Scenario:
    return Scenario(name=name, role=role, trip=trip, fault=fault, group=group, **more)


def _told(who: str, phase: str, act: str, value: Any = 1) -> tuple[Order, ...]:
    told: Mapping[str, Any] = {act: value}
    return ((who, phase, told),)


def _byzantine() -> list[Scenario]:
    g = "byzantine"
    return [
        _one(
            g,
            "nan",
            "site",
            "seal",
            "a site's update is NaN",
            orders=_told("d", "seal", "nan"),
            names="d sealed nothing",
        ),
        _one(
            g,
            "train-raises",
            "site",
            "seal",
            "a site's train function raises",
            orders=_told("c", "seal", "raise"),
            names="c sealed nothing",
        ),
        _one(
            g,
            "odd-metric",
            "site",
            "seal",
            "a site returns one metric more than the others",
            orders=_told("b", "seal", "extra_metric"),
            names=r"members \[1\]",
        ),
        _one(
            g,
            "wrong-sum",
            "member",
            "merge",
            "every member that leads signs a wrong sum in view 0: the leader adds an update twice",
            orders=(("all", "merge", {"wrong_sum_if_leader": 1}),),
        ),
        _one(
            g,
            "two-sums",
            "member",
            "merge",
            "the leader signs the right sum and hands over another",
            orders=(("all", "merge", {"two_sums_if_leader": 1}),),
        ),
        _one(
            g,
            "replay",
            "member",
            "seal",
            "a member answers with what it sealed a round before",
            orders=_told("d", "seal", "replay"),
        ),
        _one(
            g,
            "false-opening",
            "member",
            "open",
            "a holder releases a false opening",
            orders=_told("b", "open", "false_opening"),
        ),
        _one(
            g,
            "slow-site",
            "site",
            "seal",
            "a site trains past the deadline",
            orders=_told("c", "seal", "slow", 45.0),
            names=r"seals of members \[2\]",
        ),
        _one(
            g,
            "bad-dealing",
            "member",
            "seal",
            "a member deals a bad key share to another",
            orders=_told("d", "seal", "bad_dealing", 0),
            lost=1,
            names="dealt shares that do not open",
        ),
        _one(
            g,
            "vote-to-stop",
            "members",
            "seal",
            "three members vote to stop the study in mid-round",
            act=acts.vote(acts.stop_of_study, *"abc"),
            ends=True,
            names="voted to stop",
        ),
    ]


def _relay_lies() -> list[Scenario]:
    g = "hostile"
    return [
        _one(
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
        ),
        _one(
            g,
            "other-model-to-one",
            "relay",
            "seal",
            "the relay sends one member another model",
            lead=1,
            orders=_told("relay", "seal", "other_model_to_one"),
            names="sealed nothing",
        ),
        _one(
            g,
            "other-model-to-all",
            "relay",
            "seal",
            "the relay sends all members another model",
            lead=1,
            orders=_told("relay", "seal", "other_model_to_all"),
            lost=1,
        ),
    ]


def _dropouts() -> list[Scenario]:
    g = "dropouts"
    return [
        _one(
            g,
            "leaders-silent",
            "members",
            "merge",
            "kill -9 of the SuperNodes of the leader and the next leader",
            act=acts.kill("supernode", "leader", "next"),
            orders=(HOLD_MERGE,),
            after=acts.all_ready,
        ),
        _one(
            g,
            "half-committee",
            "members",
            "merge",
            "kill -9 of half of the committee, for 25 s",
            act=acts.kill_and_hold("c", "d"),
            orders=(HOLD_MERGE,),
            lost=1,
        ),
        _one(
            g,
            "all-but-t",
            "members",
            "open",
            "kill -9 of everyone but t = 3, for good",
            act=acts.kill_and_hold("d"),
            orders=(HOLD_OPEN,),
            after=acts.all_back,
        ),
        _one(
            g,
            "memory-lost",
            "member",
            "seal",
            "kill -9 of a SuperNode, and its member's memory is deleted",
            act=acts.forget_memory("d"),
            orders=(SLOW,),
            after=acts.all_ready,
        ),
        _one(
            g,
            "supernode-frozen",
            "member",
            "seal",
            "a member is frozen (SIGSTOP) for 40 s, over the deadline",
            act=acts.stop_for("supernode", "d", 40.0),
            orders=(SLOW,),
            after=acts.settle(8.0),
        ),
        _one(
            g,
            "chain-frozen",
            "chain",
            "merge",
            "the chain server is frozen (SIGSTOP) for 20 s",
            act=acts.stop_for("chain", "", 20.0),
            orders=(HOLD_MERGE,),
        ),
        _one(
            g,
            "serverapp-frozen",
            "relay",
            "merge",
            "the ServerApp is frozen (SIGSTOP) for 30 s, over a deadline",
            act=acts.stop_for("serverapp", "", 30.0),
            orders=(HOLD_MERGE,),
        ),
        _one(
            g,
            "two-members-seal",
            "members",
            "seal",
            "kill -9 of two members' SuperNodes, so that too few are left for a sum",
            act=acts.kill("supernode", "c", "d"),
            orders=(("cd", "seal", {"slow": 6.0}),),
            lost=1,
            after=acts.all_ready,
        ),
    ]


def _outsiders() -> list[Scenario]:
    g = "late-without-d"
    return [
        _one(g, "absent-member", "member", BEGIN, "a member is absent from the start"),
        _one(
            g,
            "late-join",
            "member",
            BEGIN,
            "it comes in the second round",
            act=acts.back("d"),
            names=r"member 3 \(d\) joined",
        ),
        _one(
            g,
            "password-gone",
            "site",
            BEGIN,
            "a site's password file is gone",
            act=acts.hide("password", "c"),
            after=acts.show("password", "c"),
            names="c sealed nothing",
        ),
        _one(
            g,
            "full-disk",
            "site",
            BEGIN,
            "a site's disk is full, so that it can keep no promise",
            act=disk.fill("c"),
            after=disk.free("c"),
            names="c sealed nothing",
        ),
        _one(
            g,
            "member-revoked",
            "member",
            BEGIN,
            "the members vote to suspend one",
            act=acts.vote(acts.suspension(1), *"acd"),
            after=acts.vote(acts.reinstatement(1), *"acd"),
        ),
        _one(
            g,
            "node-key-revoked",
            "site",
            "seal",
            "a site's node key is revoked at the relay",
            act=acts.revoke_node("d"),
            after=acts.admit_node("d"),
        ),
        _one(
            g,
            "relay-and-member",
            "relay and member",
            "merge",
            "kill -9 of all that the relay runs and of a member's SuperNode; member b relays",
            act=acts.move_relay("b", "c"),
            orders=(HOLD_MERGE,),
        ),
    ]


SCENARIOS: tuple[Scenario, ...] = (
    *_matrix(),
    *_dropouts(),
    *_byzantine(),
    *_relay_lies(),
    *_outsiders(),
)
QUICK = (
    "supernode-seal",
    "leader-supernode-merge",
    "chain-merge",
    "serverapp-open",
    "nan",
    "duplicates",
)
