// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Election} from "./Election.sol";
import {SwarmTypes} from "./SwarmTypes.sol";

/// @title What a swarm stores: how it is founded, and how it is read.
abstract contract SwarmState is SwarmTypes {
    using Election for uint64;

    uint256 private constant MAX_MEMBERS = 64;
    uint8 private constant NO_LEADER = 255;

    /// @notice Number of the newest round, 0 before the first.
    uint64 public current;
    /// @notice Number of the newest certified round, 0 for none.
    uint64 public lastCertified;
    /// @notice Members taken out of the shuffle bag.
    uint64 public led;
    /// @notice Beacon of the newest draw.
    bytes32 public beacon;
    /// @dev XOR of what the seals of the current round reveal, so that their order is nothing.
    bytes32 internal _mix;

    Policy internal _policy;
    Member[] internal _members;
    mapping(address account => uint256 indexPlusOne) internal _indexOf;
    mapping(uint64 round => Round) internal _rounds;
    mapping(uint64 round => mapping(uint8 member => Hashes)) internal _hashes;
    mapping(uint64 round => mapping(bytes32 payloadHash => Note)) internal _notes;

    /// @notice Found a swarm. Member i is `genesis[i]` for ever.
    constructor(Genesis[] memory genesis, Policy memory policy_) {
        _checkPolicy(policy_, genesis.length);
        _policy = policy_;
        for (uint256 i; i < genesis.length; ++i) {
            Genesis memory g = genesis[i];
            if (g.account == address(0)) revert ZeroAccount(i);
            if (_indexOf[g.account] != 0) revert DuplicateAccount(g.account);
            if (g.encryptionKey == 0 || g.commitment == 0) revert ZeroHash();
            _indexOf[g.account] = i + 1;
            _members.push(Member(g.account, 0, 0, g.encryptionKey, g.commitment));
        }
        emit Founded(genesis.length, policy_);
    }

    /// @notice Everything a member needs, in one consistent look.
    function look()
        external
        view
        returns (
            uint64 time,
            Policy memory policy_,
            Member[] memory members,
            RoundSeen memory newest,
            RoundSeen memory final_
        )
    {
        newest = roundAt(current);
        return (uint64(block.timestamp), _policy, _members, newest, roundAt(newest.round.base));
    }

    /// @notice One round with its seals in ascending order of member.
    function roundAt(uint64 number) public view returns (RoundSeen memory seen) {
        seen.number = number;
        seen.round = _rounds[number];
        seen.seals = new SealSeen[](seen.round.sealers.count());
        uint256 slot;
        for (uint8 m; m < _members.length; ++m) {
            if (!seen.round.sealers.has(m)) continue;
            Hashes storage h = _hashes[number][m];
            Note storage note = _notes[number][h.payload];
            seen.seals[slot++] = SealSeen(m, h.payload, h.shares, note.epsilon, note.verified);
        }
    }

    function _checkPolicy(Policy memory p, uint256 n) private pure {
        if (n == 0 || n > MAX_MEMBERS) revert MemberCountOutOfRange(n);
        if (p.threshold == 0 || p.threshold > n) revert ThresholdOutOfRange(p.threshold);
        if (p.minIncluded == 0 || p.minIncluded > n) revert MinIncludedOutOfRange(p.minIncluded);
        if (p.witnesses > n) revert WitnessesOutOfRange(p.witnesses);
        if (p.maxCommittee == 0 || p.maxCommittee > 7) revert CommitteeOutOfRange(p.maxCommittee);
        if (p.closeAt < p.minIncluded || p.closeAt > n) revert CloseAtOutOfRange(p.closeAt);
        if (p.fixedLeader != NO_LEADER && p.fixedLeader >= n) {
            revert FixedLeaderOutOfRange(p.fixedLeader);
        }
        if (p.sealSeconds == 0 || p.mergeSeconds == 0) {
            revert SecondsOutOfRange(p.sealSeconds, p.mergeSeconds);
        }
        if (p.maxViews == 0 || p.maxViews > 8) revert ViewsOutOfRange(p.maxViews);
    }
}
