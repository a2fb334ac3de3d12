// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Election} from "./Election.sol";
import {SwarmWords} from "./SwarmWords.sol";

/// @title What a swarm stores, and what its two contracts share of it.
abstract contract SwarmState is SwarmWords {
    using Election for uint64;

    uint256 internal constant MAX_MEMBERS = 64;
    uint256 internal constant MAX_ENDPOINT = 256;
    uint8 internal constant NONE = 255;
    /// @dev Where an account is found that once had a seat: it never has one again, so that no
    ///      secret is revealed twice and no consent is used twice.
    uint256 internal constant RETIRED = type(uint256).max;

    /// @notice Number of the newest round, 0 before the first.
    uint64 public current;
    /// @notice Number of the newest certified round, 0 for none.
    uint64 public lastCertified;
    /// @notice Members taken out of the shuffle bag.
    uint64 public led;
    /// @notice Members who do not lead in the next draw.
    uint64 public benched;
    /// @notice Members who neither seal nor hold office until they are voted back.
    uint64 public suspended;
    /// @notice Seats that somebody has.
    uint64 public taken;
    /// @notice Counts enacted changes, from 1; a proposal belongs to one epoch.
    uint64 public epoch;
    /// @notice Number of proposals so far.
    uint64 public proposals;
    /// @notice The proposal that was passed and waits for the running round's end, 0 for none.
    uint64 public pending;
    /// @notice The epsilon cap of that change.
    uint64 public pendingCap;
    /// @notice Beacon of the newest draw.
    bytes32 public beacon;
    /// @dev XOR of what the seals of the current round reveal, so that their order is nothing.
    bytes32 internal _mix;

    Policy internal _policy;
    Member[] internal _members;
    mapping(uint8 member => string) internal _endpoints;
    mapping(address account => uint256 indexPlusOne) internal _indexOf;
    mapping(uint64 round => Round) internal _rounds;
    mapping(uint64 round => mapping(uint8 member => Note)) internal _notes;
    mapping(uint64 id => Proposal) internal _proposals;
    mapping(uint8 member => uint64 id) internal _proposedBy;
    mapping(bytes32 statement => bool) internal _accused;

    function _sender() internal view returns (uint8) {
        uint256 indexPlusOne = _indexOf[msg.sender];
        if (indexPlusOne == 0 || indexPlusOne == RETIRED) revert NotAMember(msg.sender);
        // A contract's call is in no transaction to the swarm, so no evidence could show it.
        if (msg.sender != tx.origin) revert NotAMember(msg.sender);
        return uint8(indexPlusOne - 1);
    }

    /// @dev Members who may seal and hold office.
    function _eligible() internal view returns (uint64) {
        return taken & ~suspended;
    }

    /// @dev How many faulty members the swarm tolerates.
    function _faults() internal view returns (uint256) {
        return (taken.count() - 1) / 3;
    }

    function _running() internal view returns (bool) {
        Phase phase = _rounds[current].phase;
        return phase == Phase.SEALING || phase == Phase.MERGING;
    }

    function _seat(uint8 member, Card memory card, uint64 since) internal {
        if (member == _members.length) _members.push();
        Member storage m = _members[member];
        m.account = card.account;
        m.since = since;
        m.epsilon = card.epsilon;
        m.commitment = card.commitment;
        taken |= uint64(1) << member;
        _indexOf[card.account] = uint256(member) + 1;
        _note(member, card);
    }

    /// @dev What a member may change about itself without a new account.
    function _note(uint8 member, Card memory card) internal {
        Member storage m = _members[member];
        m.encryptionKey = card.encryptionKey;
        m.tlsHash = card.tlsHash;
        m.weightClass = card.weightClass;
        _endpoints[member] = card.endpoint;
    }

    /// @dev `rotates`: `member` has the seat already and may keep its account or its key.
    function _checkCard(Card memory card, uint8 member, bool rotates) internal view {
        if (card.account == address(0)) revert ZeroAccount(member);
        bool keeps = rotates && _members[member].account == card.account;
        if (!keeps && _indexOf[card.account] != 0) revert AccountUsed(card.account);
        if (card.encryptionKey == 0 || (!keeps && card.commitment == 0)) revert ZeroHash();
        for (uint8 m; m < _members.length; ++m) {
            if (_members[m].encryptionKey != card.encryptionKey) continue;
            if (!(rotates && m == member)) revert KeyUsed(card.encryptionKey);
        }
        _checkEndpoint(card);
    }

    function _checkEndpoint(Card memory card) internal pure {
        uint256 length = bytes(card.endpoint).length;
        if (length > MAX_ENDPOINT) revert EndpointTooLong(length);
    }

    /// @dev Whether a policy can rule the members of `seats`. Two sets of `threshold` openers
    ///      share an honest holder, since 2 * threshold > n + f.
    function _checkPolicy(Policy memory p, uint64 seats) internal pure {
        uint256 n = seats.count();
        if (n == 0 || n < p.minMembers) revert MemberCountOutOfRange(n);
        if (p.threshold > n || 2 * uint256(p.threshold) <= n + (n - 1) / 3) {
            revert ThresholdOutOfRange(p.threshold);
        }
        if (p.minIncluded == 0 || p.minIncluded > n) revert MinIncludedOutOfRange(p.minIncluded);
        if (p.witnesses > n) revert WitnessesOutOfRange(p.witnesses);
        if (p.maxCommittee == 0 || p.maxCommittee > 7) revert CommitteeOutOfRange(p.maxCommittee);
        if (p.quorum > p.maxCommittee) revert QuorumOutOfRange(p.quorum);
        if (p.closeAt < p.minIncluded || p.closeAt > MAX_MEMBERS) {
            revert CloseAtOutOfRange(p.closeAt);
        }
        if (p.fixedLeader != NONE && !seats.has(p.fixedLeader)) {
            revert FixedLeaderOutOfRange(p.fixedLeader);
        }
        if (p.sealSeconds == 0 || p.mergeSeconds == 0 || p.voteSeconds == 0) {
            revert SecondsOutOfRange(p.sealSeconds, p.mergeSeconds, p.voteSeconds);
        }
        if (p.maxViews == 0 || p.maxViews > 8) revert ViewsOutOfRange(p.maxViews);
    }
}
