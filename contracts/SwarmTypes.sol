// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The nouns of a swarm: what the contract stores.
abstract contract SwarmTypes {
    enum Phase {
        IDLE,
        SEALING,
        MERGING,
        CERTIFIED,
        VOID
    }

    enum VoidReason {
        TOO_FEW_SEALS,
        TOO_FEW_WITNESSES,
        NO_LEADER_LEFT,
        MEMBER_REMOVED
    }

    enum Kind {
        ADMIT,
        REMOVE,
        SUSPEND,
        REINSTATE,
        ROTATE,
        POLICY
    }

    enum Status {
        NONE,
        OPEN,
        REJECTED,
        WITHDRAWN,
        PENDING,
        ENACTED
    }

    /// @dev What a site says of itself. `epsilon` is what its data spent elsewhere before;
    ///      `weightClass` is the binary logarithm of its number of examples, 0 for undeclared.
    struct Card {
        address account;
        bytes32 encryptionKey;
        bytes32 commitment;
        bytes32 tlsHash;
        string endpoint;
        uint64 epsilon;
        uint8 weightClass;
    }

    /// @dev `fixedLeader` is 255 for none; `epsilonCap` is in micro-epsilon, 2^64 - 1 for none;
    ///      `quorum` may ask for more signatures than the Byzantine quorum, never for fewer;
    ///      `maxMisses` in a row suspend a member, 0 for never.
    struct Policy {
        uint8 threshold;
        uint8 minIncluded;
        uint8 witnesses;
        uint8 maxCommittee;
        uint8 quorum;
        uint8 closeAt;
        uint8 fixedLeader;
        uint8 maxViews;
        uint8 maxMisses;
        uint8 minMembers;
        bool relaying;
        uint32 sealSeconds;
        uint32 mergeSeconds;
        uint32 voteSeconds;
        uint64 epsilonCap;
        bytes32 terms;
    }

    /// @dev A seat; vacant while `account` is zero. `since` is the first round that counts for
    ///      this member. `absences` and `stalls` are misses in a row: of sealing, of leading.
    struct Member {
        address account;
        uint32 reveals;
        uint32 misses;
        uint32 faults;
        uint8 absences;
        uint8 stalls;
        uint8 weightClass;
        uint64 since;
        uint64 epsilon;
        bytes32 encryptionKey;
        bytes32 commitment;
        bytes32 tlsHash;
    }

    /// @dev One proposal's content. `policy` is the whole policy after the change, so that the
    ///      number of members and the numbers that depend on it change together. `expires` ends
    ///      the consent of `card`.
    struct Change {
        Kind kind;
        uint8 seat;
        Card card;
        uint64 expires;
        Policy policy;
    }

    /// @dev `change` is the ABI encoding of a `Change`.
    struct Proposal {
        uint64 epoch;
        uint8 proposer;
        Status status;
        uint64 closes;
        uint64 supporters;
        uint64 opponents;
        bytes change;
    }

    /// @dev `base` is the newest round that was certified before this one opened, 0 for none;
    ///      `witnessed` counts the verified seals of its committee; `ahead` counts those who had
    ///      abstained before `opener` sealed first.
    struct Round {
        Phase phase;
        uint8 view_;
        uint8 witnessed;
        uint8 opener;
        uint8 ahead;
        bool relayed;
        uint64 sealDeadline;
        uint64 mergeDeadline;
        uint64 base;
        uint64 sealers;
        uint64 abstained;
        uint64 included;
        uint64 late;
        uint64 missed;
        bytes32 parent;
        bytes32 beacon;
        bytes32 aggregateHash;
        bytes succession;
        bytes committee;
    }

    struct Note {
        bytes32 payloadHash;
        bytes32 sharesHash;
        uint64 epsilon;
        bool verified;
    }

    struct SealCall {
        uint64 round;
        bytes32 parent;
        bytes32 payloadHash;
        bytes32 sharesHash;
        bytes32 reveal;
        bytes32 commitment;
        uint64 epsilon;
        bool verified;
    }

    /// @dev What one officer signed about a merge.
    struct Statement {
        uint64 round;
        uint8 view_;
        uint256 included;
        bytes32 aggregateHash;
        bytes signature;
    }

    struct SealSeen {
        uint8 member;
        bytes32 payloadHash;
        bytes32 sharesHash;
        uint64 epsilon;
        bool verified;
    }

    struct RoundSeen {
        uint64 number;
        Round round;
        SealSeen[] seals;
    }
}
