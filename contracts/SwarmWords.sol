// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "./SwarmTypes.sol";

/// @title The words of a swarm: what the contract announces, and by which names it refuses.
abstract contract SwarmWords is SwarmTypes {
    event Founded(uint256 members, Policy policy);

    event Proposed(
        uint64 indexed id, uint64 epoch, uint8 indexed proposer, bytes change, uint64 closes
    );
    event Voted(uint64 indexed id, uint8 indexed member, bool support);
    event ProposalPassed(uint64 indexed id);
    event ProposalRejected(uint64 indexed id);
    event ProposalWithdrawn(uint64 indexed id);
    event Enacted(uint64 indexed id, uint64 epoch);
    event MemberAdmitted(uint8 indexed member, address account, uint64 since);
    event MemberRemoved(uint8 indexed member, address account, uint64 epsilon);
    event MemberSuspended(uint8 indexed member, bool byVote);
    event MemberReinstated(uint8 indexed member);
    event KeysRotated(uint8 indexed member, address account);
    event PolicyChanged(Policy policy);

    event SealingOpened(uint64 indexed round, bytes32 parent, uint64 deadline);
    event Sealed(
        uint64 indexed round,
        uint8 indexed member,
        bytes32 payloadHash,
        bytes32 sharesHash,
        uint64 epsilon,
        bool verified
    );
    event SealRelayed(uint64 indexed round, uint8 indexed member);
    event SealSkipped(uint256 position, bytes4 reason);
    event SealedLate(uint64 indexed round, uint8 indexed member, uint64 epsilon);
    event Abstained(uint64 indexed round, uint8 indexed member);
    event MembersMissed(uint64 indexed round, uint64 missing);
    event Drawn(uint64 indexed round, bytes32 beacon, bytes succession, bytes committee);
    event ViewStarted(uint64 indexed round, uint8 view_, uint8 leader, uint64 deadline);
    event LeaderMissed(uint64 indexed round, uint8 view_, uint8 leader);
    event Certified(
        uint64 indexed round, uint8 view_, uint64 included, bytes32 aggregateHash, uint64 signers
    );
    event RoundVoided(uint64 indexed round, VoidReason reason);
    event OpenerBlamed(uint64 indexed round, uint8 indexed member);
    event FaultProven(uint64 indexed round, uint8 view_, uint8 indexed member);

    error MemberCountOutOfRange(uint256 members);
    error ThresholdOutOfRange(uint8 threshold);
    error MinIncludedOutOfRange(uint8 minIncluded);
    error WitnessesOutOfRange(uint8 witnesses);
    error CommitteeOutOfRange(uint8 maxCommittee);
    error QuorumOutOfRange(uint8 quorum);
    error CloseAtOutOfRange(uint8 closeAt);
    error FixedLeaderOutOfRange(uint8 fixedLeader);
    error SecondsOutOfRange(uint32 sealSeconds, uint32 mergeSeconds, uint32 voteSeconds);
    error ViewsOutOfRange(uint8 maxViews);
    error CapBelowSpent(uint64 cap, uint64 spent);

    error ZeroAccount(uint256 member);
    error ZeroHash();
    error AccountUsed(address account);
    error KeyUsed(bytes32 encryptionKey);
    error EndpointTooLong(uint256 length);
    error ConsentExpired(uint64 expires);
    error BadConsent(address account);

    error NotAMember(address account);
    error MemberIsSuspended(uint8 member);
    error UnknownSeat(uint8 seat);
    error AlreadySuspended(uint8 seat);
    error NotSuspended(uint8 seat);
    error UnknownProposal(uint64 id);
    error StaleProposal(uint64 id, uint64 epoch);
    error ProposalClosed(uint64 id);
    error ProposalExpired(uint64 id);
    error AlreadyVoted(uint64 id, uint8 member);
    error ChangePending(uint64 id);

    error WrongRound(uint64 round, uint64 current);
    error SealingClosed(uint64 round);
    error SealingOpen(uint64 round);
    error ParentMismatch(bytes32 parent, bytes32 expected);
    error AlreadySealed(uint64 round, uint8 member);
    error AlreadyAbstained(uint64 round, uint8 member);
    error AlreadyLate(uint64 round, uint8 member);
    error WrongReveal(uint8 member, uint32 reveals);
    error EpsilonDecreased(uint64 epsilon, uint64 recorded);
    error BudgetExceeded(uint64 spent, uint64 cap);
    error RelayingOff();
    error BadSeal();
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
    error NotEquivocation();
    error AlreadyAccused(uint8 member, uint64 round, uint8 view_);
}
