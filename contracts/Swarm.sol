// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Election} from "./Election.sol";
import {Signatures} from "./Signatures.sol";
import {SwarmState} from "./SwarmState.sol";

/// @title One swarm: its members, its rounds, and one certificate a round.
/// @notice No owner, no upgrade, no funds. Only members act, and nothing that one member does can
///         be undone. Invariants, each beside the code that keeps it:
///         I1  a round has at most one certificate, and its set is a subset of the sealers;
///         I2  all seals of a round name one parent model;
///         I3  a member's epsilon never falls and never exceeds the cap;
///         I4  a member seals or abstains at most once a round;
///         I5  only sealers hold office, and nobody is taken from the shuffle bag twice
///             before it is refilled, unless every fresh sealer failed or a leader is fixed;
///         I6  a certificate needs the view's leader and a quorum of the round's committee;
///         I7  round numbers grow by one, and a finished round never changes.
contract Swarm is SwarmState {
    using Election for uint64;

    constructor(Genesis[] memory genesis, Policy memory policy_) SwarmState(genesis, policy_) {}

    // --- sealing ----------------------------------------------------------------------------

    /// @notice Fix one's update for a round; the first seal opens the round.
    /// @dev The reveal of the last commitment becomes randomness of this round's draw.
    function seal(SealCall calldata call_) external {
        uint8 who = _sender();
        if (
            call_.parent == 0 || call_.payloadHash == 0 || call_.sharesHash == 0
                || call_.commitment == 0
        ) revert ZeroHash();
        if (_startsNext(call_.round)) _open(call_.round, call_.parent);
        Round storage r = _sealing(call_.round);
        if (call_.parent != r.parent) revert ParentMismatch(call_.parent, r.parent); // I2
        _checkFree(r, call_.round, who);

        _reveal(who, call_.reveal, call_.commitment);
        _spend(who, call_.epsilon);

        Note storage note = _notes[call_.round][call_.payloadHash];
        if (note.taken) revert DuplicatePayload(call_.payloadHash);
        (note.taken, note.verified, note.epsilon) = (true, call_.verified, call_.epsilon);
        _hashes[call_.round][who] = Hashes(call_.payloadHash, call_.sharesHash);

        r.sealers |= uint64(1) << who;
        if (call_.verified && _rounds[r.base].committee.length != 0) {
            if (Election.setOf(_rounds[r.base].committee).has(who)) ++r.witnessed;
        }
        emit Sealed(
            call_.round, who, call_.payloadHash, call_.sharesHash, call_.epsilon, call_.verified
        );
        _settle(call_.round, r);
    }

    /// @notice Say that one will not seal, in the round that is sealing or in the coming one.
    function abstain(uint64 round) external {
        uint8 who = _sender();
        bool ahead = _startsNext(round);
        Round storage r = ahead ? _rounds[round] : _sealing(round);
        _checkFree(r, round, who);
        r.abstained |= uint64(1) << who;
        emit Abstained(round, who);
        if (!ahead) {
            _settle(round, r);
        } else if (r.abstained.count() == _members.length) {
            current = round;
            r.base = lastCertified;
            _void(round, r, VoidReason.TOO_FEW_SEALS);
        }
    }

    /// @notice End sealing once its deadline has passed: draw, or void if too few sealed.
    function close(uint64 round) external {
        _sender();
        if (round != current) revert WrongRound(round, current);
        Round storage r = _rounds[round];
        if (r.phase != Phase.SEALING) revert SealingClosed(round);
        if (block.timestamp <= r.sealDeadline) revert DeadlineNotReached(r.sealDeadline);
        emit MembersMissed(round, _everyone() & ~(r.sealers | r.abstained));
        (bool ready, VoidReason reason) = _ready(r);
        if (ready) _draw(round, r);
        else _void(round, r, reason);
    }

    // --- merging ----------------------------------------------------------------------------

    /// @notice Record the certificate of a round. Anyone may carry it; the signatures count.
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
            Signatures.digest(round, view_, included, aggregateHash), uint64(signers), signatures
        );

        r.phase = Phase.CERTIFIED; // I1, I7: no other certificate passes _merging any more
        r.included = uint64(included);
        r.aggregateHash = aggregateHash;
        lastCertified = round;
        emit Certified(round, view_, uint64(included), aggregateHash, uint64(signers));
    }

    /// @notice Replace the leader of `view_` once its deadline has passed, or void the round.
    function advance(uint64 round, uint8 view_) external {
        _sender();
        Round storage r = _merging(round, view_);
        if (block.timestamp <= r.mergeDeadline) revert DeadlineNotReached(r.mergeDeadline);
        emit LeaderMissed(round, view_, uint8(r.succession[view_]));
        uint8 next = view_ + 1;
        if (next >= _policy.maxViews || next >= r.succession.length) {
            _void(round, r, VoidReason.NO_LEADER_LEFT);
        } else {
            _startView(round, r, next);
        }
    }

    // --- inside -----------------------------------------------------------------------------

    function _sender() private view returns (uint8) {
        uint256 indexPlusOne = _indexOf[msg.sender];
        if (indexPlusOne == 0) revert NotAMember(msg.sender);
        return uint8(indexPlusOne - 1);
    }

    function _everyone() private view returns (uint64) {
        return uint64((uint256(1) << _members.length) - 1);
    }

    /// @dev Whether `round` is the coming one, and the current one is over.
    function _startsNext(uint64 round) private view returns (bool) {
        Phase phase = _rounds[current].phase;
        return round == current + 1 && phase != Phase.SEALING && phase != Phase.MERGING;
    }

    function _open(uint64 round, bytes32 parent) private {
        Round storage r = _rounds[round];
        current = round; // I7
        r.phase = Phase.SEALING;
        r.parent = parent;
        r.base = lastCertified;
        r.sealDeadline = uint64(block.timestamp) + _policy.sealSeconds;
        _mix = 0;
        emit SealingOpened(round, parent, r.sealDeadline);
    }

    function _sealing(uint64 round) private view returns (Round storage r) {
        if (round != current) revert WrongRound(round, current);
        r = _rounds[round];
        if (r.phase != Phase.SEALING || block.timestamp > r.sealDeadline) {
            revert SealingClosed(round);
        }
    }

    function _merging(uint64 round, uint8 view_) private view returns (Round storage r) {
        if (round != current) {
            if (_rounds[round].phase == Phase.CERTIFIED) revert AlreadyCertified(round);
            revert WrongRound(round, current);
        }
        r = _rounds[round];
        if (r.phase == Phase.CERTIFIED) revert AlreadyCertified(round); // I1
        if (r.phase == Phase.SEALING) revert SealingOpen(round);
        if (r.phase != Phase.MERGING) revert NotMerging(round);
        if (view_ != r.view_) revert WrongView(view_, r.view_);
    }

    function _checkFree(Round storage r, uint64 round, uint8 who) private view {
        if (r.sealers.has(who)) revert AlreadySealed(round, who); // I4
        if (r.abstained.has(who)) revert AlreadyAbstained(round, who); // I4
    }

    /// @dev A commitment binds chain, contract and account, so that a reveal is no one else's.
    function _reveal(uint8 who, bytes32 secret, bytes32 commitment) private {
        Member storage m = _members[who];
        if (keccak256(abi.encode(block.chainid, address(this), msg.sender, secret)) != m.commitment)
        {
            revert WrongReveal(who, m.reveals);
        }
        m.commitment = commitment;
        ++m.reveals;
        _mix ^= keccak256(abi.encode(msg.sender, secret));
    }

    function _spend(uint8 who, uint64 epsilon) private {
        Member storage m = _members[who];
        if (epsilon < m.epsilon) revert EpsilonDecreased(epsilon, m.epsilon); // I3
        if (epsilon > _policy.epsilonCap) revert BudgetExceeded(epsilon, _policy.epsilonCap); // I3
        m.epsilon = epsilon;
    }

    /// @dev Draw as soon as enough members have spoken; void as soon as nobody is left to speak.
    function _settle(uint64 round, Round storage r) private {
        uint256 spoken = (r.sealers | r.abstained).count();
        if (spoken < _policy.closeAt) return;
        (bool ready, VoidReason reason) = _ready(r);
        if (ready) _draw(round, r);
        else if (spoken == _members.length) _void(round, r, reason);
    }

    function _ready(Round storage r) private view returns (bool, VoidReason) {
        if (r.sealers.count() < _policy.minIncluded) return (false, VoidReason.TOO_FEW_SEALS);
        uint256 required = _rounds[r.base].committee.length; // 0 without a certified round
        if (required > _policy.witnesses) required = _policy.witnesses;
        return (r.witnessed >= required, VoidReason.TOO_FEW_WITNESSES);
    }

    function _draw(uint64 round, Round storage r) private {
        beacon = keccak256(abi.encode(round, _mix, beacon));
        r.beacon = beacon;
        (r.succession, r.committee, led) =
            Election.draw(beacon, r.sealers, led, _policy.maxCommittee, _policy.fixedLeader); // I5
        r.phase = Phase.MERGING;
        emit Drawn(round, beacon, r.succession, r.committee);
        _startView(round, r, 0);
    }

    /// @dev Who is asked to lead has had the turn, whether or not a certificate follows. (I5)
    function _startView(uint64 round, Round storage r, uint8 view_) private {
        uint8 leader = uint8(r.succession[view_]);
        led |= uint64(1) << leader;
        r.view_ = view_;
        r.mergeDeadline = uint64(block.timestamp) + (uint64(_policy.mergeSeconds) << view_);
        emit ViewStarted(round, view_, leader, r.mergeDeadline);
    }

    function _void(uint64 round, Round storage r, VoidReason reason) private {
        r.phase = Phase.VOID;
        emit RoundVoided(round, reason);
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
        uint256 required = Election.quorum(r.committee.length);
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
