"""The end of every example: the network behaves, a quorum lives, and the run must go on.

From whatever state an example left, an honest relay that knows the ledger and the models ends the
running round, opens one of its own, and sees the round after that sealed by every honest member.
"""

from __future__ import annotations

from machine_faulty import Faulty
from machine_relay import Relay
from machine_resuming import Successor, must_open
from machine_site import Site
from machine_ways import MERGES, OPENS, SEALS
from machine_world import Parcel, World

from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.ledger import ProposeCall, VoteCall
from flwr_swarm.protocol.types import Change, Kind

ROUNDS = 3
"""What an example left may cost two; the one after is opened."""
MOVES = 40
MANNERS = ("silent", "honest", "mute", "liar", "hasty")
"""Of faulty members: a mute one only seals, a hasty one opens the next round too early."""


class Ending:
    """What is left of an example when everything that is not faulty works again."""

    def __init__(self, world: World, sites: list[Site], seed: int) -> None:
        self.world = world
        self.sites = sites
        self.honest = [site for site in sites if not isinstance(site, Faulty)]
        self.seed = seed
        self.told = 0

    def check(self, relay: Relay) -> None:
        """Go on with this relay or, where the seed says so, with one that comes new."""
        world = self.world
        for site in self.honest:
            if site.running is not None:
                site.go_on()
            site.up = True
        world.wire.clear()
        if self.seed & 16 or (isinstance(relay, Successor) and not relay.complete):
            relay = self.resumed()
        for attempt in range(ROUNDS):
            if not world.state.running:
                self._reinstate()
            number = self._round(relay)
            if relay.opened == number:
                world.reached[f"ended in attempt {attempt + 1}"] += 1
                break
        else:
            raise AssertionError(f"{ROUNDS} rounds with a quorum alive, and none was opened")
        self._everybody_seals(relay)

    def resumed(self) -> Relay:
        """Another relay, which loses no certified round that enough members can still open."""
        world = self.world
        wanted = must_open(world, self.sites)
        relay = Successor(world, self.sites)
        for parcel in relay.first:
            self._deliver(relay, parcel)
        if wanted is not None:
            relay.first = []
            relay.follow(world.view())
            found = model_hash(relay.model, relay.state)
            assert found == wanted, "another relay lost a certified round"
            world.reached["no certified round lost"] += 1
        return relay

    def _round(self, relay: Relay) -> int:
        """The running round, or the next, to its end, whatever that is; its number."""
        world = self.world
        number = world.state.current.round.number + (not world.state.running)
        for _ in range(MOVES):
            parcels = relay.act()
            for parcel in parcels:
                self._deliver(relay, parcel)
            current = world.state.current.round
            if current.number > number or (current.number == number and not world.state.running):
                relay.follow(world.view())
                return number
            if not parcels and world.state.running:
                world.clock = max(world.clock, world.deadline) + 1
            elif not parcels:  # nobody sealed
                relay.asked.discard(("seal", number))
                return number
        raise AssertionError(f"round {number} stands still ({world.state.current.round.phase})")

    def _deliver(self, relay: Relay, parcel: Parcel) -> None:
        site = self.sites[parcel.to]
        if not isinstance(site, Faulty):
            relay.take(site.start(parcel), site.index)
            return
        manner = MANNERS[(self.seed + 2 * site.index) % len(MANNERS)]
        if manner == "silent" or (manner == "mute" and parcel.kind != "seal"):
            return
        if manner == "liar" and parcel.kind in {"merge", "open"}:
            self.told += 1
            ways = len(MERGES) if parcel.kind == "merge" else len(OPENS)
            for reply in site.misbehave(parcel, (self.seed + self.told) % ways):
                relay.take(reply, site.index)
            return
        relay.take(site.start(parcel), site.index)
        if manner == "hasty" and parcel.kind == "open" and not self.told:
            self.told += 1
            (offer,) = (
                p for p in relay.offers(parcel.request.certificate.round + 1) if p.to == site.index
            )
            site.misbehave(offer, SEALS.index("another model"))

    def _reinstate(self) -> None:
        """Members vote back the honest among them whom misses suspended."""
        world = self.world
        for site in self.honest:
            if not world.state.members[site.index].suspended:
                continue
            change = Change(kind=Kind.REINSTATE, seat=site.index, policy=world.state.policy)
            first, *others = self.honest
            first.node.submit(ProposeCall(change=change))
            number = len(world.state.proposals)
            for voter in others:
                if world.state.members[site.index].suspended:
                    voter.node.submit(VoteCall(proposal=number, support=True))
            voted_back = not world.state.members[site.index].suspended
            assert voted_back, f"honest member {site.index} stays suspended"
            world.reached["reinstated"] += 1

    def _everybody_seals(self, relay: Relay) -> None:
        """The round after: every honest member takes the opened model, and no other.

        If somebody opened that round on another model, or while an honest member was suspended, it
        is the one after that.
        """
        state = self.world.state
        for _ in range(ROUNDS):
            if not state.running:
                self._reinstate()
                break
            suspended = any(state.members[site.index].suspended for site in self.honest)
            if not suspended and state.current.round.parent == model_hash(relay.model, relay.state):
                break
            self._round(relay)
            state = self.world.state
        parent = model_hash(relay.model, relay.state)
        for parcel in relay.act():
            if not isinstance(self.sites[parcel.to], Faulty):
                relay.take(self.sites[parcel.to].start(parcel), parcel.to)
        seals = self.world.state.current.round.seals
        sealed = {seal.member for seal in seals if seal.parent == parent}
        missing = {site.index for site in self.honest} - sealed
        assert not missing, f"members {missing} do not seal on the opened model"
