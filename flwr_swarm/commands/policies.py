"""Policies for people: safe defaults, settings as key=value, and what a change of members needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from .._exceptions import ConfigurationError, TransactionRefused
from ..chain.founding import check_policy
from ..protocol.quorum import (
    SMALLEST_ENCRYPTED_SWARM,
    check_protects,
    signatures_needed,
    smallest_threshold,
    tolerated_faults,
    witnesses_needed,
)
from ..protocol.terms import ENCRYPTIONS, Terms, default_capacity
from ..protocol.types import EPSILON_UNIT, HASH_BYTES, NO_CAP, Policy
from .strict import read_json

LARGEST_COMMITTEE: Final = 7
LARGEST_SWARM: Final = 64
MAX_MISSES: Final = 3
NAMES: Final = tuple(field.name for field in fields(Policy))
_NONE: Final = "none"
_UINT8: Final = 1 << 8
_UINT32: Final = 1 << 32
_UINT64: Final = 1 << 64
_SECONDS: Final = ("seal_seconds", "merge_seconds", "vote_seconds")


def default_terms(members: int) -> Terms:
    """The numbers of `SwarmStrategy(FedAvg(...))` with room for new members."""
    return Terms(encryption="threshold", members=default_capacity(members))


def default_policy(members: int, terms: Terms) -> Policy:
    """The rules of a new swarm of `members` members, all of whom train in a round.

    Raises
    ------
    ConfigurationError
        So few members cannot protect an update.
    """
    encrypted = terms.encryption == "threshold"
    policy = Policy(
        threshold=smallest_threshold(members),
        min_included=_min_included(members) if encrypted else 1,
        witnesses=_witnesses(members) if encrypted else 0,
        max_committee=LARGEST_COMMITTEE,
        quorum=_quorum(members) if encrypted else 0,
        close_at=members,
        max_misses=MAX_MISSES,
        min_members=SMALLEST_ENCRYPTED_SWARM if encrypted else 1,
        relaying=False,
        terms=terms.hash(),
    )
    if encrypted:
        check_protects(policy, members)
    return policy


def adjusted(policy: Policy, settings: Sequence[str]) -> Policy:
    """`policy` with settings such as ``threshold=4``, ``epsilon_cap=8.0``, ``fixed_leader=none``.

    Raises
    ------
    ConfigurationError
        A name is unknown or given twice, or a value does not fit.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or name not in NAMES:
            raise ConfigurationError(
                f"a setting is key=value, got {setting[:60]!r}; the keys are {', '.join(NAMES)}"
            )
        if name in changes:
            raise ConfigurationError(f"{name} is set twice; give it once")
        changes[name] = _value(name, value)
    return replace(policy, **changes)


def adapted(
    policy: Policy, before: Collection[int], after: Collection[int]
) -> tuple[Policy, tuple[str, ...]]:
    """`policy` for the seats `after` a change, and what had to be different, in words.

    A setting that was the default for the old number of members becomes the default for the new
    one; another moves only if the new number makes it invalid, to the default. `min_members`
    never moves: it is there to stop a removal.
    """
    old, new, n = len(before), len(after), len(after)
    changes: dict[str, Any] = {}
    valid = {
        "threshold": n + tolerated_faults(n) < 2 * policy.threshold <= 2 * n,
        "min_included": policy.min_included <= n,
        "witnesses": policy.witnesses <= n,
        "quorum": True,
        "close_at": True,
    }
    for name, holds in valid.items():
        value, default = getattr(policy, name), _DEFAULTS[name]
        if old != new and (value == default(old) or not holds):
            changes[name] = default(new)
    lowest = changes.get("min_included", policy.min_included)
    if changes.get("close_at", policy.close_at) < lowest:
        changes["close_at"] = lowest
    if changes.get("quorum", 0) > policy.max_committee:
        changes["quorum"] = policy.max_committee
    if policy.fixed_leader is not None and policy.fixed_leader not in after:
        changes["fixed_leader"] = None
    made = replace(policy, **changes)
    return made, tuple(f"{name} {was} -> {now}" for name, was, now in differences(policy, made))


def check(policy: Policy, seats: Collection[int]) -> None:
    """Refuse a policy that the contract would refuse for the members of `seats`.

    Raises
    ------
    ConfigurationError
        It names the setting and the contract's error.
    """
    try:
        check_policy(policy, seats)
    except TransactionRefused as error:
        reason = error.reason
    else:
        return
    n = len(seats)
    names, rule = _RULES.get(reason, (NAMES, "see the policy"))
    values = ", ".join(f"{name}={shown(policy, name)}" for name in names)
    rule = rule.format(n=n, least=smallest_threshold(n))
    raise ConfigurationError(
        f"{values} does not fit {n} members ({reason}): {rule}; set it with --policy"
    )


def known_terms(digest: bytes, settings: Sequence[str]) -> Terms | None:
    """The terms with this hash, where they are a default or a file that a setting names.

    The contract holds the hash alone.
    """
    candidates = [
        Terms(encryption=encryption, members=default_capacity(members))
        for encryption in ENCRYPTIONS
        for members in (1, LARGEST_SWARM)
    ]
    for setting in settings:
        name, _, value = (part.strip() for part in setting.partition("="))
        if name == "terms" and not value.startswith("0x"):
            candidates.append(load_terms(Path(value)))
    return next((terms for terms in candidates if terms.hash() == digest), None)


def check_obeyed(policy: Policy, members: int, terms: Terms | None) -> str:
    """Refuse a policy under which the members' sites would take part in nothing.

    Returns
    -------
    str
        Empty, or a warning: the terms are not known here, and it depends on them.

    Raises
    ------
    ConfigurationError
        The terms encrypt, and the policy could not protect an update.
    """
    if terms is not None and terms.encryption == "none":
        return ""
    try:
        check_protects(policy, members)
    except ConfigurationError as error:
        if terms is None:
            return f"if the swarm's terms encrypt, every site will refuse to train: {error}"
        raise ConfigurationError(
            f"every site would refuse to train by this policy: {error}; set it with --policy"
        ) from None
    return ""


def differences(old: Policy, new: Policy) -> tuple[tuple[str, str, str], ...]:
    """(name, old value, new value) of each setting that differs."""
    return tuple(
        (name, shown(old, name), shown(new, name))
        for name in NAMES
        if getattr(old, name) != getattr(new, name)
    )


def shown(policy: Policy, name: str) -> str:
    """One setting as `adjusted` takes it back."""
    value = getattr(policy, name)
    if name == "epsilon_cap":
        return _NONE if value == NO_CAP else f"{value / EPSILON_UNIT:g}"
    if value is None:
        return _NONE
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value).lower()


def policy_json(policy: Policy) -> dict[str, Any]:
    """A policy as plain data; epsilon in micro-epsilon, null where there is no cap or leader."""
    found = {name: getattr(policy, name) for name in NAMES}
    cap = found["epsilon_cap"]
    return found | {
        "epsilon_cap": None if cap == NO_CAP else cap,
        "terms": "0x" + policy.terms.hex(),
    }


_RULES: Final = {
    "MemberCountOutOfRange": (("min_members",), "members are from min_members to 64"),
    "ThresholdOutOfRange": (("threshold",), "it is from {least} to {n}"),
    "MinIncludedOutOfRange": (("min_included",), "it is from 1 to {n}"),
    "WitnessesOutOfRange": (("witnesses",), "it is from 0 to {n}"),
    "CommitteeOutOfRange": (("max_committee",), "it is from 1 to 7"),
    "QuorumOutOfRange": (("quorum", "max_committee"), "quorum is at most max_committee"),
    "CloseAtOutOfRange": (("close_at", "min_included"), "close_at is from min_included to 64"),
    "FixedLeaderOutOfRange": (("fixed_leader",), "it is the seat of a member, or none"),
    "SecondsOutOfRange": (_SECONDS, "each is 1 or more"),
    "ViewsOutOfRange": (("max_views",), "it is from 1 to 8"),
}


def _min_included(members: int) -> int:
    return min(max(SMALLEST_ENCRYPTED_SWARM, smallest_threshold(members)), members)


def _witnesses(members: int) -> int:
    return witnesses_needed(min(members, LARGEST_COMMITTEE))


def _quorum(members: int) -> int:
    return signatures_needed(min(members, LARGEST_COMMITTEE))


_DEFAULTS: Final[dict[str, Callable[[int], int]]] = {
    "threshold": smallest_threshold,
    "min_included": _min_included,
    "witnesses": _witnesses,
    "quorum": _quorum,
    "close_at": int,
}
"""What each takes for a number of members; sealing waits for everyone."""


def _value(name: str, text: str) -> Any:
    try:
        if name == "terms":
            return _terms(text)
        if name == "relaying":
            return {"true": True, "false": False}[text.lower()]
        if name == "epsilon_cap":
            return NO_CAP if text.lower() == _NONE else _cap(text)
        if name == "fixed_leader" and text.lower() == _NONE:
            return None
        limit = _UINT32 if name in _SECONDS else _UINT8 - (name == "fixed_leader")
        if not text.isascii() or not text.isdigit() or int(text) >= limit:
            raise ValueError
        return int(text)
    except (ValueError, KeyError, OverflowError):
        hint = {
            "terms": "0x and 64 hex digits, or a file of terms",
            "relaying": "true or false",
            "epsilon_cap": "a number > 0, or none",
            "fixed_leader": "a seat, or none",
        }.get(name, "a whole number")
        raise ConfigurationError(f"{name} must be {hint}, got {text[:40]!r}") from None


def _cap(text: str) -> int:
    cap = float(text)
    if not (math.isfinite(cap) and 0 < cap * EPSILON_UNIT < _UINT64 - 1):
        raise ValueError
    return math.floor(cap * EPSILON_UNIT)


def _terms(text: str) -> bytes:
    if text.startswith("0x"):
        found = bytes.fromhex(text[2:])
        if len(found) != HASH_BYTES:
            raise ValueError
        return found
    return load_terms(Path(text)).hash()


def load_terms(path: Path) -> Terms:
    """Read a file of terms, as `Terms.to_json` writes them.

    Raises
    ------
    ConfigurationError, WireError
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path} holds no terms; write Terms(...).to_json() into it")
    return Terms.from_json(data)
