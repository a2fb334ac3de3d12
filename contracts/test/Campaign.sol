// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {RoundActions} from "./Handler.sol";
import {Surface} from "./Surface.sol";

/// @title What an invariant campaign does to a swarm: rounds, governance, and attempts to cheat.
contract Campaign is RoundActions {
    uint256 private _sites;

    constructor(uint256 n) {
        SwarmTypes.Policy memory p = _usual(n);
        (p.maxCommittee, p.witnesses, p.maxMisses, p.minMembers) = (4, 1, 2, 4);
        _found(n, p);
        _sites = n;
    }

    // --- governance -------------------------------------------------------------------------

    function _newCard() private returns (SwarmTypes.Card memory) {
        return _card(_sites++, address(swarm));
    }

    /// @dev A change that can be proposed now, or false.
    function _invent(uint256 pick, uint256 seed)
        private
        returns (bool, SwarmTypes.Change memory change)
    {
        SwarmTypes.Kind kind = SwarmTypes.Kind(seed % 6);
        uint256 n = _count(swarm.taken());
        uint8 seat = _any(pick);
        if (kind == SwarmTypes.Kind.ADMIT) {
            if (n >= 9) return (false, change);
            change = _change(kind, NONE, n + 1);
            change.card = _newCard();
        } else if (kind == SwarmTypes.Kind.REMOVE) {
            if (n <= 4) return (false, change);
            change = _change(kind, seat, n - 1);
        } else if (kind == SwarmTypes.Kind.SUSPEND) {
            if (_has(swarm.suspended(), seat)) return (false, change);
            change = _change(kind, seat, n);
        } else if (kind == SwarmTypes.Kind.REINSTATE) {
            if (swarm.suspended() == 0) return (false, change);
            change = _change(kind, _pick(swarm.suspended(), pick), n);
        } else if (kind == SwarmTypes.Kind.ROTATE) {
            change = _change(kind, seat, n);
            change.card = _newCard();
        } else {
            change = _change(kind, NONE, n);
            SwarmTypes.Policy memory p = change.policy;
            p.minIncluded = uint8(1 + (seed >> 8) % (n > 5 ? 5 : n));
            p.maxCommittee = uint8(1 + (seed >> 16) % 7);
            p.closeAt = uint8(p.minIncluded + (seed >> 24) % 5);
            p.epsilonCap = _mostSpent() + uint64((seed >> 32) % 200_000);
            p.relaying = (seed >> 40) % 4 != 0;
        }
        change.expires = uint64(block.timestamp + 1 days);
        return (true, change);
    }

    function _mostSpent() private view returns (uint64 most) {
        SwarmTypes.Member[] memory seats = _seats();
        for (uint256 m; m < seats.length; ++m) {
            if (seats[m].epsilon > most) most = seats[m].epsilon;
        }
    }

    function propose(uint256 pick, uint256 seed) public watched {
        if (swarm.pending() != 0) return;
        (bool possible, SwarmTypes.Change memory change) = _invent(pick, seed);
        if (!possible) return;
        uint8 seat = _any(seed >> 64);
        uint64 id = swarm.proposals() + 1;
        (_epochOf[id], _for[id]) = (swarm.epoch(), uint64(1) << seat);
        same(_propose(seat, change), id, "ids are counted");
    }

    /// @dev A change goes its whole way in one sitting.
    function govern(uint256 pick, uint256 seed) public {
        propose(pick, seed);
        decide(seed, 1);
    }

    /// @dev One member votes on one of the newest proposals.
    function vote(uint256 pick, uint256 seed) public {
        _doVote(pick, seed, seed % 5 != 0);
    }

    /// @dev Members vote until the newest proposal is decided.
    function decide(uint256 pick, uint256 seed) public {
        for (uint256 i; i < 64 && _doVote((pick >> 1) + i, 0, seed % 8 != 0); ++i) {}
    }

    function _doVote(uint256 pick, uint256 back, bool support) private watched returns (bool) {
        uint64 ids = swarm.proposals();
        if (ids == 0 || swarm.pending() != 0) return false;
        uint64 id = ids - uint64(back % (ids < 3 ? ids : 3));
        SwarmTypes.Proposal memory p = swarm.proposalAt(id);
        uint64 free = swarm.taken() & ~(p.supporters | p.opponents);
        bool open = p.status == SwarmTypes.Status.OPEN && p.epoch == swarm.epoch()
            && block.timestamp <= p.closes && free != 0;
        if (!open) return false;
        SwarmTypes.Change memory change = abi.decode(p.change, (SwarmTypes.Change));
        if (support && change.policy.epsilonCap < _mostSpent()) support = false; // was overtaken
        uint8 seat = _pick(free, pick);
        if (support) _for[id] |= uint64(1) << seat;
        else _against[id] |= uint64(1) << seat;
        _vote(seat, id, support);
        return true;
    }

    /// @dev An officer is shown to have signed two merges of one view.
    function accuse(uint256 pick, uint256 seed) public watched {
        if (seed % 8 != 0) return; // rarely, or everybody is suspended
        uint8 seat = _any(pick);
        address account = _account(seat);
        SwarmTypes.Statement memory first;
        (first.round, first.included, first.aggregateHash) =
        (uint64(seed), 7, keccak256(abi.encode(seed)));
        SwarmTypes.Statement memory second = abi.decode(abi.encode(first), (SwarmTypes.Statement));
        second.aggregateHash = keccak256("other");
        first.signature = _sign(account, _certificateDigest(first.round, 0, 7, first.aggregateHash));
        second.signature =
            _sign(account, _certificateDigest(first.round, 0, 7, second.aggregateHash));
        uint32 before = _seats()[seat].faults;
        _as(_account(_any(seed)));
        (bool done,) = address(swarm).call(abi.encodeCall(Surface.accuse, (seat, first, second)));
        SwarmTypes.Member memory now_ = _seats()[seat];
        // Refused only where the same round and view were proven before.
        _promise(Promise.REFUSED, now_.faults == before + (done ? 1 : 0));
        _promise(Promise.REFUSED, _has(swarm.suspended(), seat) || !done);
    }

    // --- attempts to cheat: all are refused, and nothing changes ----------------------------

    function _refused(address sender, bytes memory data) private watched {
        bytes32 before = _state();
        _as(sender);
        (bool done,) = address(swarm).call(data);
        _promise(Promise.REFUSED, !done && _state() == before);
        ++refusals;
    }

    /// @dev The one call that needs no seat: accepted, and without effect in every state.
    function _idle(address sender, bytes memory data) private watched {
        bytes32 before = _state();
        _as(sender);
        (bool done,) = address(swarm).call(data);
        _promise(Promise.REFUSED, done && _state() == before);
    }

    /// @dev Whoever has no seat, or had one: every call that changes state.
    function outsider(uint256 pick, uint256 seed) public {
        uint256 site = pick % (_sites + 1);
        address who = vm.addr(0xC0FFEE + site);
        SwarmTypes.Member[] memory seats = _seats();
        for (uint256 m; m < seats.length; ++m) {
            if (seats[m].account == who) return;
        }
        uint64 round = swarm.current();
        (, uint64 waiting) = _waiting();
        if (waiting != 0) {
            uint8 m = _pick(waiting, seed);
            (uint64 r_,) = _waiting();
            _refused(who, abi.encodeCall(Surface.seal, (_sealCall(m, r_))));
        }
        _refused(who, abi.encodeCall(Surface.abstain, (round + uint64(seed % 2))));
        _refused(who, abi.encodeCall(Surface.late, (round, type(uint64).max)));
        _refused(who, abi.encodeCall(Surface.close, (round)));
        _refused(who, abi.encodeCall(Surface.advance, (round, _round().view_)));
        _refused(who, abi.encodeCall(Surface.vote, (swarm.proposals(), true)));
        _idle(who, abi.encodeWithSignature("enactPending()"));
    }

    /// @dev A member replays, overspends, lies about its secret, or trains on another model.
    function cheatSeal(uint256 pick, uint256 seed) public {
        (uint64 round, uint64 seats) = _waiting();
        SwarmTypes.Round memory r = swarm.roundAt(round).round;
        uint64 spoke = (r.sealers | r.abstained) & _eligible();
        if (spoke != 0) {
            uint8 twice = _pick(spoke, pick);
            SwarmTypes.SealCall memory again = _sealCall(twice, round);
            if (r.parent != 0) again.parent = r.parent;
            _refused(_account(twice), abi.encodeCall(Surface.seal, (again)));
            _refused(_account(twice), abi.encodeCall(Surface.abstain, (round)));
        }
        if (seats == 0) return;
        uint8 who = _pick(seats, pick);
        SwarmTypes.SealCall memory c = _sealCall(who, round);
        if (r.parent != 0) c.parent = r.parent;
        if (seed % 6 == 0) c.reveal = keccak256("guess");
        else if (seed % 6 == 1) c.epsilon = _cap() + 1;
        else if (seed % 6 == 2 && c.epsilon != 0) c.epsilon -= 1;
        else if (seed % 6 == 3) c.round = round + 1;
        else if (seed % 6 == 4 && r.parent != 0) c.parent = keccak256("crafted");
        else c.round = swarm.current() - (swarm.current() == round ? 1 : 0);
        _refused(_account(who), abi.encodeCall(Surface.seal, (c)));
    }

    /// @dev A certificate too many, of a stale view, below quorum, or over a member that is out.
    function cheatCertify(uint256 pick, uint256 seed) public {
        uint64 round = swarm.current();
        SwarmTypes.Round memory r = _round();
        if (r.succession.length == 0) return;
        uint64 signers = _officers(r) & swarm.taken();
        uint256 included = r.sealers;
        uint8 view_ = r.view_;
        if (r.phase == SwarmTypes.Phase.MERGING) {
            if (seed % 5 == 0) included |= uint256(1) << (64 + seed % 192);
            else if (seed % 5 == 1) view_ = r.view_ + 1;
            else if (seed % 5 == 2) signers &= ~(uint64(1) << uint8(r.succession[r.view_]));
            else if (seed % 5 == 3 && r.view_ > 0) --view_;
            else signers = uint64(1) << uint8(r.succession[r.view_]);
            if (view_ == r.view_ && signers == _setOf(r.committee) && seed % 5 > 2) return; // one is a quorum of one
        }
        bytes32 hash = keccak256(abi.encode("false", seed));
        bytes[] memory list = _signatures(signers, round, view_, included, hash);
        bytes memory data =
            abi.encodeCall(Surface.certify, (round, view_, included, hash, signers, list));
        _refused(_account(_any(pick)), data);
    }

    /// @dev A vote twice, on what is decided, or on a proposal of another epoch.
    function cheatVote(uint256 pick, uint256 seed) public {
        uint64 ids = swarm.proposals();
        if (ids == 0) return;
        uint64 id = 1 + uint64(seed % ids);
        SwarmTypes.Proposal memory p = swarm.proposalAt(id);
        uint8 seat = _any(pick);
        bool open = p.status == SwarmTypes.Status.OPEN && p.epoch == swarm.epoch()
            && block.timestamp <= p.closes && swarm.pending() == 0;
        if (open && !_has(p.supporters | p.opponents, seat)) return;
        _refused(_account(seat), abi.encodeCall(Surface.vote, (id, seed % 2 == 0)));
    }
}
