"""Members that drop out, come late, freeze, or may not take part."""

from __future__ import annotations

from . import acts, calls, disk
from .scenario import BEGIN, HOLD_MERGE, HOLD_OPEN, SLOW, Scenario, one


def dropouts() -> list[Scenario]:
    g = "dropouts"
    return [
        one(
            g,
            "leaders-silent",
            "members",
            "merge",
            "kill -9 of the SuperNodes of the leader and the next leader",
            act=acts.kill("supernode", "leader", "next"),
            orders=(HOLD_MERGE,),
            after=acts.all_ready,
            names=r"leader \d and committee came to no certificate",
        ),
        one(
            g,
            "half-committee",
            "members",
            "merge",
            "kill -9 of half of the committee, for 25 s",
            act=acts.kill_and_hold("c", "d", seconds=25.0),
            orders=(HOLD_MERGE,),
            after=acts.all_ready,
            names=r"leader \d and committee came to no certificate",
        ),
        one(
            g,
            "all-but-t",
            "members",
            "open",
            "kill -9 of everyone but t = 3, for good",
            act=acts.kill_and_hold("d"),
            orders=(HOLD_OPEN,),
            after=acts.all_back,
            names=r"SuperNode of d: ended by signal 9",
        ),
        one(
            g,
            "memory-lost",
            "member",
            "seal",
            "kill -9 of a SuperNode, and its member's memory is deleted",
            act=acts.forget_memory("d"),
            orders=(SLOW,),
            after=acts.all_ready,
            names=r"SuperNode of d: ended by signal 9",
        ),
        one(
            g,
            "supernode-frozen",
            "member",
            "seal",
            "a member is frozen (SIGSTOP) for 40 s, over the deadline",
            act=acts.stop_for("supernode", "d", 40.0),
            orders=(SLOW,),
            after=acts.settle(8.0),
            names=r"seals of members \[3\]|without members \[3\]|no reply from members \[3\]",
        ),
        one(
            g,
            "chain-frozen",
            "chain",
            "merge",
            "the chain server is frozen (SIGSTOP) for 40 s, over a request's limit",
            act=acts.stop_for("chain", "", 40.0),
            orders=(HOLD_MERGE,),
            names=r"(reading|submitting) .*; trying for another",
        ),
        one(
            g,
            "serverapp-frozen",
            "relay",
            "merge",
            "the ServerApp is frozen (SIGSTOP) for 30 s, over a deadline",
            act=acts.stop_for("serverapp", "", 30.0),
            orders=(HOLD_MERGE,),
            unnamed="who is frozen says nothing, and members signed without it",
        ),
        one(
            g,
            "two-members-seal",
            "members",
            "seal",
            "kill -9 of two members' SuperNodes, for 45 s, so that too few are left for a sum",
            act=acts.kill_and_hold("c", "d", seconds=45.0),
            orders=(("cd", "seal", {"slow": 8.0}),),
            lost=1,
            after=acts.all_ready,
            names=r"is void in the ledger: \d sealed",
        ),
    ]


def outsiders() -> list[Scenario]:
    g = "late-without-d"
    return [
        one(
            g,
            "absent-member",
            "member",
            BEGIN,
            "a member is absent from the start",
            names=r"goes on without members \[3\]",
        ),
        one(
            g,
            "late-join",
            "member",
            BEGIN,
            "it comes in the second round",
            act=acts.back("d"),
            names=r"member 3 \(d\) joined",
        ),
        one(
            g,
            "relay-and-member",
            "relay and member",
            "merge",
            "kill -9 of all that the relay runs and of a member's SuperNode; member b relays",
            act=acts.move_relay("b", "c"),
            orders=(HOLD_MERGE,),
            names=r"taking it up from there|of \d+ rounds of this study have ended",
        ),
    ]


def revoked() -> list[Scenario]:
    g = "revoked"
    return [
        one(
            g,
            "password-gone",
            "site",
            BEGIN,
            "a site's password file is gone",
            lead=1,
            act=acts.hide("password", "c"),
            after=acts.show("password", "c"),
            names=r"c sealed nothing|without members \[2\]",
        ),
        one(
            g,
            "full-disk",
            "site",
            BEGIN,
            "a site's disk is full, so that it can keep no promise",
            act=disk.fill("c"),
            after=disk.free("c"),
            names=r"c sealed nothing|without members \[2\]",
        ),
        one(
            g,
            "member-revoked",
            "member",
            BEGIN,
            "the members vote to suspend one",
            act=calls.vote(calls.suspension(1), *"acd"),
            after=calls.vote(calls.reinstatement(1), *"acd"),
            names=r"b sealed nothing: .*MemberSuspended.*member 1 is suspended",
        ),
        one(
            g,
            "node-key-revoked",
            "site",
            "seal",
            "a site's node key is revoked at the relay",
            act=acts.revoke_node("d"),
            after=acts.admit_node("d"),
            names=r"is shut out: its key is not in",
        ),
    ]
