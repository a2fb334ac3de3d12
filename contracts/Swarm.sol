// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Charter} from "./Charter.sol";
import {Election} from "./Election.sol";
import {Merging} from "./Merging.sol";
import {Signatures} from "./Signatures.sol";

/// @title One swarm: its members, its rounds, and one certificate a round.
/// @notice No owner, no upgrade, no funds. Only members act. Governance has invariants of its
///         own (G1 to G5); those of the rounds stand beside the code that keeps them:
///         I1  a round has at most one certificate, and its set is a subset of the sealers;
///         I2  all seals of a round name one parent model;
///         I3  a member's epsilon never falls and never exceeds the cap;
///         I4  a member seals, abstains or is late at most once a round;
///         I5  only sealers hold office, and nobody is taken from the shuffle bag twice
///             before it is refilled, unless every fresh officer failed or a leader is fixed;
///         I6  a certificate needs the view's leader and a quorum of the round's committee;
///         I7  round numbers grow by one, and what a finished round decided never changes;
///         I8  a committee has at least min(maxCommittee, minIncluded) members.
contract Swarm is Merging {
    using Election for uint64;

    /// @notice Found a swarm. Member i is `genesis[i]`.
    constructor(Card[] memory genesis, Policy memory policy_) {
        uint256 n = genesis.length;
        if (n > MAX_MEMBERS) revert MemberCountOutOfRange(n);
        _checkPolicy(policy_, uint64((uint256(1) << n) - 1));
        _policy = policy_;
        for (uint8 i; i < n; ++i) {
            _checkCard(genesis[i], i, false);
            if (genesis[i].epsilon > policy_.epsilonCap) {
                revert BudgetExceeded(genesis[i].epsilon, policy_.epsilonCap);
            }
            _seat(i, genesis[i], 0);
        }
        epoch = 1;
        new Charter(); // at charter()
        emit Founded(n, policy_);
    }

    /// @dev Everything that is not about a round is the charter's: its code, this storage.
    fallback() external {
        address code = charter();
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let done := delegatecall(gas(), code, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if done { return(free, returndatasize()) }
            revert(free, returndatasize())
        }
    }

    /// @notice Fix one's update for a round; the first seal opens the round.
    /// @dev The reveal of the last commitment becomes randomness of this round's draw.
    function seal(SealCall calldata call_) external {
        _seal(_sender(), call_, false);
    }

    /// @notice One seal of a batch; only `sealBatch` calls this, so that it may fail alone.
    function sealSigned(SealCall calldata call_, bytes calldata signature) external {
        if (msg.sender != address(this)) revert NotAMember(msg.sender);
        uint256 indexPlusOne = _indexOf[Signatures.signer(Signatures.sealing(call_), signature)];
        if (indexPlusOne == 0 || indexPlusOne == RETIRED) revert BadSeal();
        _seal(uint8(indexPlusOne - 1), call_, true);
    }

    /// @notice Carry the seals that members signed; one that is refused spoils no other.
    /// @dev A round with a carried seal closes early only when nobody is waited for: whoever
    ///      carries seals cannot choose whose reveals count.
    function sealBatch(SealCall[] calldata calls, bytes[] calldata signatures) external {
        _sender();
        if (!_policy.relaying) revert RelayingOff();
        if (calls.length != signatures.length) {
            revert SignatureCount(signatures.length, calls.length);
        }
        for (uint256 i; i < calls.length; ++i) {
            try this.sealSigned(calls[i], signatures[i]) {}
            catch (bytes memory reason) {
                emit SealSkipped(i, bytes4(reason));
            }
        }
    }

    /// @notice Say that one will not seal, in the round that is sealing or in the coming one.
    function abstain(uint64 round) external {
        uint8 who = _sender();
        if (suspended.has(who)) revert MemberIsSuspended(who);
        bool ahead = _startsNext(round);
        Round storage r = ahead ? _rounds[round] : _sealing(round);
        _checkFree(r, round, who);
        r.abstained |= uint64(1) << who;
        _present(who);
        emit Abstained(round, who);
        if (ahead) _voidIfAllAbstained();
        else _settle(round, r);
    }

    /// @notice Say what training cost after sealing has closed: nothing joins the sum any more.
    /// @dev The deadline was missed all the same: everybody else waited for it.
    function late(uint64 round, uint64 epsilon) external {
        uint8 who = _sender();
        if (suspended.has(who)) revert MemberIsSuspended(who);
        Round storage r = _rounds[round];
        if (round != current || r.phase == Phase.IDLE) revert WrongRound(round, current);
        if (r.phase == Phase.SEALING && block.timestamp <= r.sealDeadline) {
            revert SealingOpen(round);
        }
        _checkFree(r, round, who);
        if (r.late.has(who)) revert AlreadyLate(round, who); // I4
        _spend(who, epsilon);
        r.late |= uint64(1) << who;
        emit SealedLate(round, who, epsilon);
    }

    /// @notice End sealing once its deadline has passed: draw, or void if too few sealed.
    function close(uint64 round) external {
        _sender();
        if (round != current) revert WrongRound(round, current);
        Round storage r = _rounds[round];
        if (r.phase != Phase.SEALING) revert SealingClosed(round);
        if (block.timestamp <= r.sealDeadline) revert DeadlineNotReached(r.sealDeadline);
        uint64 spoken = r.sealers | r.abstained;
        uint64 missing = _eligible() & ~spoken;
        (bool ready, VoidReason reason) = _ready(r);
        emit MembersMissed(round, missing);
        if (!ready && spoken.count() <= _faults()) {
            // Perhaps no honest member was ever told of this round: it is the opener's own.
            emit OpenerBlamed(round, r.opener);
            _stalled(r.opener);
        } else if (_policy.closeAt >= _eligible().count()) {
            r.missed = missing;
            _absent(missing);
        }
        if (ready) _draw(round, r);
        else _voidAndEnact(round, r, reason);
    }

    // --- reading ----------------------------------------------------------------------------

    /// @notice Everything a member needs, in one consistent look.
    function look()
        external
        view
        returns (
            uint64 time,
            uint64 epoch_,
            uint64 pending_,
            uint64 suspended_,
            Policy memory policy_,
            Member[] memory seats,
            RoundSeen memory newest,
            RoundSeen memory final_
        )
    {
        newest = roundAt(current);
        final_ = roundAt(newest.round.base);
        return (
            uint64(block.timestamp), epoch, pending, suspended, _policy, _members, newest, final_
        );
    }

    /// @notice One round with its seals in ascending order of member.
    function roundAt(uint64 number) public view returns (RoundSeen memory seen) {
        seen.number = number;
        seen.round = _rounds[number];
        seen.seals = new SealSeen[](seen.round.sealers.count());
        uint256 slot;
        for (uint8 m; m < _members.length; ++m) {
            if (!seen.round.sealers.has(m)) continue;
            Note storage note = _notes[number][m];
            seen.seals[slot++] =
                SealSeen(m, note.payloadHash, note.sharesHash, note.epsilon, note.verified);
        }
    }

    // --- inside -----------------------------------------------------------------------------

    function _seal(uint8 who, SealCall calldata call_, bool carried) private {
        if (suspended.has(who)) revert MemberIsSuspended(who);
        if (
            call_.parent == 0 || call_.payloadHash == 0 || call_.sharesHash == 0
                || call_.commitment == 0
        ) revert ZeroHash();
        uint64 round = call_.round;
        if (_startsNext(round)) _open(round, call_.parent, who);
        Round storage r = _sealing(round);
        if (call_.parent != r.parent) revert ParentMismatch(call_.parent, r.parent); // I2
        _checkFree(r, round, who);
        _reveal(who, call_.reveal, call_.commitment);
        _spend(who, call_.epsilon);

        _notes[round][who] =
            Note(call_.payloadHash, call_.sharesHash, call_.epsilon, call_.verified);
        r.sealers |= uint64(1) << who;
        if (call_.verified && _isWitness(r.base, who)) ++r.witnessed;
        _present(who);
        emit Sealed(
            round, who, call_.payloadHash, call_.sharesHash, call_.epsilon, call_.verified
        );
        if (carried) {
            r.relayed = true;
            emit SealRelayed(round, who);
        }
        _settle(round, r);
    }

    /// @dev Whether `round` is the coming one, and the current one is over.
    function _startsNext(uint64 round) private view returns (bool) {
        return round == current + 1 && !_running();
    }

    function _open(uint64 round, bytes32 parent, uint8 opener) private {
        Round storage r = _rounds[round];
        current = round; // I7
        r.phase = Phase.SEALING;
        r.parent = parent;
        r.opener = opener;
        r.ahead = uint8(r.abstained.count());
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

    function _checkFree(Round storage r, uint64 round, uint8 who) private view {
        if (r.sealers.has(who)) revert AlreadySealed(round, who); // I4
        if (r.abstained.has(who)) revert AlreadyAbstained(round, who); // I4
    }

    /// @dev A commitment binds chain, contract and account, so that a reveal is no one else's.
    function _reveal(uint8 who, bytes32 secret, bytes32 commitment) private {
        Member storage m = _members[who];
        if (keccak256(abi.encode(block.chainid, address(this), m.account, secret)) != m.commitment)
        {
            revert WrongReveal(who, m.reveals);
        }
        m.commitment = commitment;
        ++m.reveals;
        _mix ^= keccak256(abi.encode(m.account, secret));
    }

    function _spend(uint8 who, uint64 epsilon) private {
        Member storage m = _members[who];
        if (epsilon < m.epsilon) revert EpsilonDecreased(epsilon, m.epsilon); // I3
        uint64 cap = _policy.epsilonCap;
        if (pending != 0 && pendingCap < cap) cap = pendingCap; // rules before nobody is above it
        if (epsilon > cap) revert BudgetExceeded(epsilon, cap); // I3
        m.epsilon = epsilon;
    }

    /// @dev Draw as soon as enough members have spoken; void as soon as nobody is left to speak.
    function _settle(uint64 round, Round storage r) private {
        uint64 spoken = r.sealers | r.abstained;
        bool waiting = _eligible() & ~spoken != 0;
        if (waiting && (r.relayed || spoken.count() < _policy.closeAt)) return;
        (bool ready, VoidReason reason) = _ready(r);
        if (ready) _draw(round, r);
        else if (!waiting) _voidAndEnact(round, r, reason);
    }

    function _ready(Round storage r) private view returns (bool, VoidReason) {
        if (r.sealers.count() < _policy.minIncluded) return (false, VoidReason.TOO_FEW_SEALS);
        bytes memory committee = _rounds[r.base].committee; // empty without a certified round
        uint256 required;
        for (uint256 i; i < committee.length; ++i) {
            if (_isHolder(r.base, uint8(committee[i]))) ++required;
        }
        if (required > _policy.witnesses) required = _policy.witnesses;
        return (r.witnessed >= required, VoidReason.TOO_FEW_WITNESSES);
    }

    /// @dev Whether `member` merged the sum of round `base`, and still has its seat. (G4)
    function _isWitness(uint64 base, uint8 member) private view returns (bool) {
        return Election.setOf(_rounds[base].committee).has(member) && _isHolder(base, member);
    }

    function _isHolder(uint64 base, uint8 member) private view returns (bool) {
        return taken.has(member) && _members[member].since <= base;
    }
}
