// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Election} from "./Election.sol";
import {SwarmState} from "./SwarmState.sol";

/// @title Consequences: misses cost office, misses in a row and proven faults cost the seal.
/// @notice Suspension never takes a vote, so nobody gains a majority by making others miss; and
///         misses suspend at most f members, so an outage does not empty the swarm.
abstract contract Conduct is SwarmState {
    using Election for uint64;

    function _suspend(uint8 member, bool byVote) internal {
        suspended |= uint64(1) << member;
        emit MemberSuspended(member, byVote);
    }

    /// @dev The member was heard of: its absences in a row end.
    function _present(uint8 member) internal {
        if (_members[member].absences != 0) _members[member].absences = 0;
    }

    /// @dev Each of `members` let a sealing deadline pass in silence.
    function _absent(uint64 members) internal {
        for (uint8 m; members >> m != 0; ++m) {
            if (!members.has(m)) continue;
            Member storage member = _members[m];
            ++member.misses;
            if (member.absences < type(uint8).max) ++member.absences;
            _suspendIfDue(m, member.absences);
        }
    }

    /// @dev `member` led, or opened, and the round stood still.
    function _stalled(uint8 member) internal {
        Member storage m = _members[member];
        ++m.misses;
        if (m.stalls < type(uint8).max) ++m.stalls;
        benched |= uint64(1) << member;
        _suspendIfDue(member, m.stalls);
    }

    /// @dev More opened than f others refused: an honest member among them saw another model.
    function _blameOpener(uint64 round, Round storage r) private {
        if (r.parent == 0 || r.abstained.count() <= r.ahead + _faults()) return;
        emit OpenerBlamed(round, r.opener);
        _stalled(r.opener);
    }

    /// @dev End a round without a certificate; what it cost its members is in their counts.
    function _void(uint64 round, Round storage r, VoidReason reason) internal {
        bool drawn = r.phase == Phase.MERGING;
        r.phase = Phase.VOID;
        emit RoundVoided(round, reason);
        if (!drawn) benched |= r.missed;
        if (reason == VoidReason.TOO_FEW_SEALS || reason == VoidReason.TOO_FEW_WITNESSES) {
            _blameOpener(round, r);
        }
    }

    /// @dev A coming round from which all who may seal have abstained would never open: it is
    ///      void as soon as that is so, also when the last of the others leaves.
    function _voidIfAllAbstained() internal {
        Round storage r = _rounds[current + 1];
        if (_running() || r.abstained == 0 || _eligible() & ~r.abstained != 0) return;
        ++current;
        r.base = lastCertified;
        _void(current, r, VoidReason.TOO_FEW_SEALS);
    }

    function _suspendIfDue(uint8 member, uint8 inARow) private {
        if (_policy.maxMisses == 0 || inARow < _policy.maxMisses) return;
        if (suspended.has(member) || suspended.count() >= _faults()) return;
        _suspend(member, false);
    }
}
