"""Let coalitions that reveal last choose their reveals, and count how often they lead.

    python -m benchmarks.election [--scale 1.0] [--json FILE]

In each round the honest members reveal fresh secrets. The coalition sees them all, tries every
subset of its own reveals (whoever withholds abstains, which costs nothing on chain) and sends
the one that serves it best. Three ways to choose:

- `greedy`: a coalition member leads this round if any subset makes it so;
- `careful`: as `greedy`, but never by a subset that refills the bag for everybody else while a
  member who withholds still has its turn in it;
- `hoard`: as `greedy`, with as few of its members present as will do.

`bag` is the contract's rule (`flwr_swarm.protocol.election.draw`, the function that the property
tests hold against the EVM). `plain` is commit and reveal without the bag: the draw starts from
nothing each round. The fair share is the coalition's part of the members. A bag must give no
strategy more than that, and a careful coalition exactly that.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import combinations
from math import sqrt
from pathlib import Path

from eth_utils.address import to_checksum_address

from flwr_swarm.protocol.election import Draw, draw, mix

Z = 2.576
"""Of a two-sided interval of 99 %."""
MOST_SUBSETS = 32
BAG_AND_PLAIN = (("bag", "careful"), ("bag", "greedy"), ("bag", "hoard"), ("plain", "greedy"))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One simulation."""

    rule: str
    strategy: str
    members: int
    coalition: int
    rounds: int
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """What it came to; `low` and `high` bound the coalition's share with 99 % (Wilson)."""

    rule: str
    strategy: str
    members: int
    coalition: int
    rounds: int
    fair: float
    share: float
    low: float
    high: float
    busiest: float
    """Leaderships of the member that led most, over its fair number."""
    seconds: float

    @property
    def is_fair(self) -> bool:
        """Whether the fair share lies in the interval."""
        return self.low <= self.fair <= self.high

    @property
    def gains(self) -> bool:
        """Whether the coalition led more than its share."""
        return self.low > self.fair

    @property
    def keeps_the_promise(self) -> bool:
        """What the contract's rule must show in this case; `plain` promises nothing."""
        if self.rule == "plain":
            return True
        return self.is_fair if self.strategy == "careful" else not self.gains


def simulate(case: Case) -> Result:
    """Run one case; the seed makes it repeatable, the contract's own secrets are the system's."""
    started = time.perf_counter()
    source = random.Random(f"{case}")  # noqa: S311 - a simulation
    accounts = [to_checksum_address(source.randbytes(20)) for _ in range(case.members)]
    coalition = frozenset(range(case.members - case.coalition, case.members))
    smallest = (2 * case.members) // 3 + 1  # fewer sealers void the round; nobody gains
    led: frozenset[int] = frozenset()
    beacon, leads = bytes(32), Counter[int]()
    for number in range(1, case.rounds + 1):
        secrets = [source.randbytes(32) for _ in range(case.members)]
        best: tuple[tuple[bool, int], Draw] | None = None
        for present in _choices(coalition, source):
            sealers = [m for m in range(case.members) if m not in coalition or m in present]
            if len(sealers) < smallest:
                continue
            if case.strategy == "careful" and present != coalition and led.issuperset(sealers):
                continue
            found = draw(
                number=number,
                mixed=mix((accounts[m], secrets[m]) for m in sealers),
                previous=beacon,
                sealers=sealers,
                led=led if case.rule == "bag" else (),
                max_committee=1,
            )
            wins = found.succession[0] in coalition
            worth = (wins, -len(present) if case.strategy == "hoard" else 0)
            if best is None or worth > best[0]:
                best = worth, found
            if wins and case.strategy != "hoard":
                break
        assert best is not None
        drawn = best[1]
        leads[drawn.succession[0]] += 1
        led, beacon = drawn.led | {drawn.succession[0]}, drawn.beacon
    count = sum(leads[m] for m in coalition)
    low, high = wilson(count, case.rounds)
    return Result(
        rule=case.rule,
        strategy=case.strategy,
        members=case.members,
        coalition=case.coalition,
        rounds=case.rounds,
        fair=case.coalition / case.members,
        share=count / case.rounds,
        low=low,
        high=high,
        busiest=max(leads.values()) * case.members / case.rounds,
        seconds=time.perf_counter() - started,
    )


def _choices(coalition: frozenset[int], source: random.Random) -> Iterator[frozenset[int]]:
    """Subsets of the coalition that reveal: all of them, or where they are many, a sample."""
    if 2 ** len(coalition) <= MOST_SUBSETS:
        for size in range(len(coalition), -1, -1):
            yield from (frozenset(chosen) for chosen in combinations(sorted(coalition), size))
        return
    yield coalition
    for _ in range(MOST_SUBSETS - 1):
        yield frozenset(m for m in sorted(coalition) if source.random() < 0.5)


def wilson(count: int, trials: int) -> tuple[float, float]:
    """Bounds of a proportion (Wilson 1927); leads under a bag vary less than these allow."""
    part, square = count / trials, Z * Z
    centre = (part + square / (2 * trials)) / (1 + square / trials)
    half = sqrt(part * (1 - part) / trials + square / (4 * trials**2)) * Z / (1 + square / trials)
    return centre - half, centre + half


def cases(scale: float) -> list[Case]:
    """Coalitions of f, and of three where f is more, for 4, 16 and 50 members."""
    chosen = []
    for members, rounds, sizes in ((4, 8000, (1,)), (16, 3200, (3, 5)), (50, 1000, (3, 16))):
        for size in sizes:
            for rule, strategy in BAG_AND_PLAIN:
                many = max(members, int(scale * rounds))
                case = Case(
                    rule=rule, strategy=strategy, members=members, coalition=size, rounds=many
                )
                chosen.append(case)
    return chosen


def table(results: list[Result]) -> str:
    """Markdown, as docs/election.md keeps it."""
    lines = [
        "| members | coalition | rule | strategy | rounds | fair share | share led (99 % interval) "
        "| against the fair share | busiest member |",
        "|--:|--:|---|---|--:|--:|---|---|--:|",
    ]
    lines += [
        f"| {r.members} | {r.coalition} | {r.rule} | {r.strategy} | {r.rounds} | {r.fair:.4f} | "
        f"{r.share:.4f} ({r.low:.4f} to {r.high:.4f}) | {_verdict(r)} | "
        f"{r.busiest:.2f} x |"
        for r in results
    ]
    return "\n".join(lines)


def _verdict(result: Result) -> str:
    if result.gains:
        return "**more**"
    return "equal" if result.is_fair else "less"


def main(arguments: list[str] | None = None) -> int:
    """Run all cases; exit code 1 if the contract's rule did not keep its promise in one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the rounds of a case")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    todo = cases(options.scale)
    done: dict[Case, Result] = {}
    with ProcessPoolExecutor() as pool:
        futures = {pool.submit(simulate, case): case for case in todo}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            print(f"{len(done)} of {len(todo)} cases", file=sys.stderr)
    results = [done[case] for case in todo]
    print(table(results))
    if options.json:
        rows = [{**asdict(r), "is_fair": r.is_fair, "gains": r.gains} for r in results]
        options.json.write_text(json.dumps({"confidence": 0.99, "cases": rows}, indent=1) + "\n")
    return 0 if all(r.keeps_the_promise for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
