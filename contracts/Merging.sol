// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Charter} from "./Charter.sol";
import {Conduct} from "./Conduct.sol";
import {Election} from "./Election.sol";
import {Signatures} from "./Signatures.sol";

/// @title From the draw to the certificate: offices, views, one certificate a round.
abstract contract Merging is Conduct {
    using Election for uint64;

    /// @notice Record the certificate of a round. Any member may carry it; the signatures count.
    /// @param included Set of members whose updates are in the sum.
    /// @param signers Set of members who signed.
    /// @param signatures 65 bytes r, s, v each, in ascending order of member.
    function certify(
        uint64 round,
        uint8 view_,
        uint256 included,
        bytes32 aggregateHash,
        uint256 signers,
        bytes[] calldata signatures
    ) external {
        _sender();
        Round storage r = _merging(round, view_);
        if (aggregateHash == 0) revert ZeroHash();
        if (included & ~uint256(r.sealers) != 0) {
            revert NotSealed(included & ~uint256(r.sealers)); // I1
        }
        uint256 size = uint64(included).count();
        if (size < _policy.minIncluded) revert TooFewIncluded(size, _policy.minIncluded);

        _checkSigners(r, signers);
        _checkSignatures(
            Signatures.certificate(round, view_, included, aggregateHash),
            uint64(signers),
            signatures
        );

        r.phase = Phase.CERTIFIED; // I1, I7: no other certificate passes _merging any more
        r.included = uint64(included);
        r.aggregateHash = aggregateHash;
        lastCertified = round;
        Member storage leader = _members[uint8(r.succession[view_])];
        if (leader.stalls != 0) leader.stalls = 0;
        emit Certified(round, view_, uint64(included), aggregateHash, uint64(signers));
        _enactPending();
    }

    /// @notice Replace the leader of `view_` once its deadline has passed, or void the round.
    function advance(uint64 round, uint8 view_) external {
        _sender();
        Round storage r = _merging(round, view_);
        if (block.timestamp <= r.mergeDeadline) revert DeadlineNotReached(r.mergeDeadline);
        uint8 leader = uint8(r.succession[view_]);
        emit LeaderMissed(round, view_, leader);
        _stalled(leader);
        uint8 next = view_ + 1;
        if (next >= _policy.maxViews || next >= r.succession.length) {
            _voidAndEnact(round, r, VoidReason.NO_LEADER_LEFT);
        } else {
            _startView(round, r, next);
        }
    }

    // --- inside -----------------------------------------------------------------------------

    function _merging(uint64 round, uint8 view_) private view returns (Round storage r) {
        r = _rounds[round];
        if (r.phase == Phase.CERTIFIED) revert AlreadyCertified(round); // I1
        if (round != current) revert WrongRound(round, current);
        if (r.phase == Phase.SEALING) revert SealingOpen(round);
        if (r.phase != Phase.MERGING) revert NotMerging(round);
        if (view_ != r.view_) revert WrongView(view_, r.view_);
    }

    function _draw(uint64 round, Round storage r) internal {
        beacon = keccak256(abi.encode(round, _mix, beacon));
        r.beacon = beacon;
        (uint64 leaders, uint64 pool) = _officers(r.sealers);
        (r.succession, r.committee, led) = Election.draw(
            beacon, leaders, pool, led, _policy.maxCommittee, _policy.fixedLeader
        ); // I5
        benched = r.missed;
        r.phase = Phase.MERGING;
        emit Drawn(round, beacon, r.succession, r.committee);
        _startView(round, r, 0);
    }

    /// @dev Who may lead, and who may sit on the committee: sealers who are not suspended, unless
    ///      the committee would then be smaller than its bound (I8). A recent miss costs the turn
    ///      of leading only, and only while at most f missed: whoever makes others miss must not
    ///      choose who checks a merge.
    function _officers(uint64 sealers) private view returns (uint64 leaders, uint64 pool) {
        uint256 bound = _policy.minIncluded;
        if (bound > _policy.maxCommittee) bound = _policy.maxCommittee;
        pool = sealers & ~suspended;
        if (pool.count() < bound) pool = sealers;
        leaders = pool & ~benched;
        if (leaders.count() < bound || (pool & benched).count() > _faults()) leaders = pool;
    }

    /// @dev Who is asked to lead has had the turn, whether or not a certificate follows. (I5)
    function _startView(uint64 round, Round storage r, uint8 view_) private {
        uint8 leader = uint8(r.succession[view_]);
        led |= uint64(1) << leader;
        r.view_ = view_;
        r.mergeDeadline = uint64(block.timestamp) + (uint64(_policy.mergeSeconds) << view_);
        emit ViewStarted(round, view_, leader, r.mergeDeadline);
    }

    function _voidAndEnact(uint64 round, Round storage r, VoidReason reason) internal {
        _void(round, r, reason);
        _enactPending();
    }

    /// @dev A change that was passed during the round begins to rule now.
    function _enactPending() internal {
        if (pending == 0) return;
        (bool done,) = charter().delegatecall(abi.encodeCall(Charter.enactPending, ()));
        assert(done); // whatever it needs was checked when it was proposed
    }

    /// @notice Where the code of this swarm's charter is: the first contract that it created.
    function charter() public view returns (address) {
        return address(
            uint160(uint256(keccak256(abi.encodePacked(hex"d694", address(this), hex"01"))))
        );
    }

    /// @dev I6. Members without office add nothing and are refused, so that a certificate names
    ///      only those whose word counted.
    function _checkSigners(Round storage r, uint256 signers) private view {
        uint64 committee = Election.setOf(r.committee);
        uint8 leader = uint8(r.succession[r.view_]);
        uint256 officers = committee | (uint64(1) << leader);
        if (signers & ~officers != 0) revert NoOffice(signers & ~officers);
        if (!uint64(signers).has(leader)) revert LeaderNotSigned(leader);
        uint256 signed = (uint64(signers) & committee).count();
        uint256 size = r.committee.length;
        uint256 required = _policy.quorum < size ? _policy.quorum : size;
        if (required < Election.quorum(size)) required = Election.quorum(size);
        if (signed < required) revert BelowQuorum(signed, required);
    }

    function _checkSignatures(bytes32 digest, uint64 signers, bytes[] calldata signatures)
        private
        view
    {
        if (signatures.length != signers.count()) {
            revert SignatureCount(signatures.length, signers.count());
        }
        uint256 slot;
        for (uint8 m; signers >> m != 0; ++m) {
            if (!signers.has(m)) continue;
            // No account is zero, so a malformed signature matches nobody.
            if (Signatures.signer(digest, signatures[slot++]) != _members[m].account) {
                revert BadSignature(m);
            }
        }
    }
}
