// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The nouns of a swarm: what the contract stores, announces and refuses.
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
        NO_LEADER_LEFT
    }

    struct Genesis {
        address account;
        bytes32 encryptionKey;
        bytes32 commitment;
    }

    /// @dev `fixedLeader` is 255 for none; `epsilonCap` is in micro-epsilon, 2^64 - 1 for none.
    struct Policy {
        uint8 threshold;
        uint8 minIncluded;
        uint8 witnesses;
        uint8 maxCommittee;
        uint8 closeAt;
        uint8 fixedLeader;
        uint8 maxViews;
        uint32 sealSeconds;
        uint32 mergeSeconds;
        uint64 epsilonCap;
        bytes32 terms;
    }

    struct Member {
        address account;
        uint32 reveals;
        uint64 epsilon;
        bytes32 encryptionKey;
        bytes32 commitment;
    }

    /// @dev `base` is the newest round that was certified before this one opened, 0 for none;
    ///      `witnessed` counts the verified seals of its committee.
    struct Round {
        Phase phase;
        uint8 view_;
        uint8 witnessed;
        uint64 sealDeadline;
        uint64 mergeDeadline;
        uint64 base;
        uint64 sealers;
        uint64 abstained;
        uint64 included;
        bytes32 parent;
        bytes32 beacon;
        bytes32 aggregateHash;
        bytes succession;
        bytes committee;
    }

    struct Hashes {
        bytes32 payload;
        bytes32 shares;
    }

    struct Note {
        bool taken;
        bool verified;
        uint64 epsilon;
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

    event Founded(uint256 members, Policy policy);
    event SealingOpened(uint64 indexed round, bytes32 parent, uint64 deadline);
    event Sealed(
        uint64 indexed round,
        uint8 indexed member,
        bytes32 payloadHash,
        bytes32 sharesHash,
        uint64 epsilon,
        bool verified
    );
    event Abstained(uint64 indexed round, uint8 indexed member);
    event MembersMissed(uint64 indexed round, uint64 missing);
    event Drawn(uint64 indexed round, bytes32 beacon, bytes succession, bytes committee);
    event ViewStarted(uint64 indexed round, uint8 view_, uint8 leader, uint64 deadline);
    event LeaderMissed(uint64 indexed round, uint8 view_, uint8 leader);
    event Certified(
        uint64 indexed round, uint8 view_, uint64 included, bytes32 aggregateHash, uint64 signers
    );
    event RoundVoided(uint64 indexed round, VoidReason reason);

    error MemberCountOutOfRange(uint256 members);
    error ZeroAccount(uint256 member);
    error DuplicateAccount(address account);
    error ZeroHash();
    error ThresholdOutOfRange(uint8 threshold);
    error MinIncludedOutOfRange(uint8 minIncluded);
    error WitnessesOutOfRange(uint8 witnesses);
    error CommitteeOutOfRange(uint8 maxCommittee);
    error CloseAtOutOfRange(uint8 closeAt);
    error FixedLeaderOutOfRange(uint8 fixedLeader);
    error SecondsOutOfRange(uint32 sealSeconds, uint32 mergeSeconds);
    error ViewsOutOfRange(uint8 maxViews);

    error NotAMember(address account);
    error WrongRound(uint64 round, uint64 current);
    error SealingClosed(uint64 round);
    error SealingOpen(uint64 round);
    error ParentMismatch(bytes32 parent, bytes32 expected);
    error AlreadySealed(uint64 round, uint8 member);
    error AlreadyAbstained(uint64 round, uint8 member);
    error WrongReveal(uint8 member, uint32 reveals);
    error EpsilonDecreased(uint64 epsilon, uint64 recorded);
    error BudgetExceeded(uint64 spent, uint64 cap);
    error DuplicatePayload(bytes32 payloadHash);
    error DeadlineNotReached(uint64 deadline);
    error NotMerging(uint64 round);
    error AlreadyCertified(uint64 round);
    error WrongView(uint8 view_, uint8 current);
    error NotSealed(uint256 members);
    error TooFewIncluded(uint256 included, uint256 required);
    error NoOffice(uint256 members);
    error LeaderNotSigned(uint8 leader);
    error BelowQuorum(uint256 signed, uint256 required);
    error SignatureCount(uint256 signatures, uint256 signers);
    error BadSignature(uint8 member);
}
