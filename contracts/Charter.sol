// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Conduct} from "./Conduct.sol";
import {Election} from "./Election.sol";
import {Signatures} from "./Signatures.sol";

/// @title Who belongs, and by which rules: two thirds of the members and one more decide.
/// @notice A swarm's second half: `Swarm` creates one and runs this code on its own storage, as
///         one contract would exceed the size that chains allow. Its own storage stays empty.
///
/// @notice Invariants, each beside the code that keeps it:
///         G1  a change needs floor(2n/3) + 1 votes of members of its own epoch;
///         G2  every enacted change ends its epoch, and all other proposals of it;
///         G3  a round has one set of members and one policy from its first seal to its end;
///         G4  a seat's new member inherits nothing: no turn, no vote, no seal, no witness;
///         G5  enactment cannot fail: whatever it needs was checked in the same epoch.
contract Charter is Conduct {
    using Election for uint64;

    /// @notice Propose a change, and vote for it. It replaces one's earlier open proposal.
    /// @param consent Signature of `change.card.account`, where the change brings a card.
    function propose(Change memory change, bytes calldata consent) external returns (uint64 id) {
        uint8 who = _sender();
        if (pending != 0) revert ChangePending(pending);
        _checkEndpoint(change.card); // every proposal is kept, also a card where none belongs
        uint64 seats = _seatsAfter(change);
        _checkPolicy(change.policy, seats);
        _checkCap(seats, change.policy.epsilonCap);
        if (change.kind == Kind.ADMIT || change.kind == Kind.ROTATE) _checkConsent(change, consent);

        uint64 former = _proposedBy[who];
        if (former != 0 && _proposals[former].epoch == epoch && _isOpen(former)) {
            _proposals[former].status = Status.WITHDRAWN;
            emit ProposalWithdrawn(former);
        }
        id = ++proposals;
        _proposedBy[who] = id;
        Proposal storage p = _proposals[id];
        p.epoch = epoch;
        p.proposer = who;
        p.status = Status.OPEN;
        p.closes = uint64(block.timestamp) + _policy.voteSeconds;
        p.change = abi.encode(change);
        emit Proposed(id, epoch, who, p.change, p.closes);
        _count(id, p, who, true);
    }

    /// @notice Vote on a proposal, once. The vote that decides it has its effect.
    function vote(uint64 id, bool support) external {
        uint8 who = _sender();
        if (pending != 0) revert ChangePending(pending);
        Proposal storage p = _proposals[id];
        if (p.status == Status.NONE) revert UnknownProposal(id);
        if (p.epoch != epoch) revert StaleProposal(id, p.epoch); // G1, G2
        if (p.status != Status.OPEN) revert ProposalClosed(id);
        if (block.timestamp > p.closes) revert ProposalExpired(id);
        if ((p.supporters | p.opponents).has(who)) revert AlreadyVoted(id, who);
        _count(id, p, who, support);
    }

    /// @notice Enact the change that waited for the end of the round. (G3)
    /// @dev `Swarm` calls this whenever a round has ended; anyone else finds nothing to enact.
    function enactPending() external {
        uint64 id = pending;
        if (id == 0 || _running()) return;
        pending = 0;
        _enact(id, _proposals[id], _changeOf(id));
    }

    /// @notice Prove that a member signed two merges of one round and view.
    function accuse(uint8 member, Statement calldata first, Statement calldata second) external {
        _sender();
        if (!taken.has(member)) revert UnknownSeat(member);
        if (
            first.round != second.round || first.view_ != second.view_
                || (first.included == second.included
                    && first.aggregateHash == second.aggregateHash)
        ) revert NotEquivocation();
        address account = _members[member].account;
        if (_signer(first) != account || _signer(second) != account) revert BadSignature(member);
        bytes32 key = keccak256(abi.encode(account, first.round, first.view_));
        if (_accused[key]) revert AlreadyAccused(member, first.round, first.view_);

        _accused[key] = true;
        ++_members[member].faults;
        emit FaultProven(first.round, first.view_, member);
        if (!suspended.has(member)) _suspend(member, false);
        _voidIfAllAbstained();
    }

    function _signer(Statement calldata s) private view returns (address) {
        bytes32 digest = Signatures.certificate(s.round, s.view_, s.included, s.aggregateHash);
        return Signatures.signer(digest, s.signature);
    }

    // --- reading ----------------------------------------------------------------------------

    /// @notice One proposal; of status NONE where there is none.
    function proposalAt(uint64 id) external view returns (Proposal memory) {
        return _proposals[id];
    }

    /// @notice Where each seat's site is reached; empty for a vacant seat.
    function endpoints() external view returns (string[] memory found) {
        found = new string[](_members.length);
        for (uint8 m; m < found.length; ++m) found[m] = _endpoints[m];
    }

    // --- inside -----------------------------------------------------------------------------

    /// @dev The seats that will be taken if `change` is enacted in this epoch.
    function _seatsAfter(Change memory change) private view returns (uint64) {
        Kind kind = change.kind;
        uint8 seat = change.seat;
        if (kind == Kind.ADMIT || kind == Kind.POLICY) {
            if (seat != NONE) revert UnknownSeat(seat);
            if (kind == Kind.POLICY) return taken;
            if (taken == type(uint64).max) revert MemberCountOutOfRange(MAX_MEMBERS + 1);
            return taken | (uint64(1) << _vacant());
        }
        if (!taken.has(seat)) revert UnknownSeat(seat);
        if (kind == Kind.SUSPEND && suspended.has(seat)) revert AlreadySuspended(seat);
        if (kind == Kind.REINSTATE && !suspended.has(seat)) revert NotSuspended(seat);
        return kind == Kind.REMOVE ? taken & ~(uint64(1) << seat) : taken;
    }

    function _vacant() private view returns (uint8 seat) {
        while (taken.has(seat)) ++seat;
    }

    function _checkCap(uint64 seats, uint64 cap) private view {
        for (uint8 m; m < _members.length; ++m) {
            if (seats.has(m) && _members[m].epsilon > cap) {
                revert CapBelowSpent(cap, _members[m].epsilon);
            }
        }
    }

    function _checkConsent(Change memory change, bytes calldata consent) private view {
        bool rotates = change.kind == Kind.ROTATE;
        _checkCard(change.card, change.seat, rotates);
        if (!rotates && change.card.epsilon > change.policy.epsilonCap) {
            revert BudgetExceeded(change.card.epsilon, change.policy.epsilonCap);
        }
        if (block.timestamp > change.expires) revert ConsentExpired(change.expires);
        if (Signatures.signer(Signatures.consent(change), consent) != change.card.account) {
            revert BadConsent(change.card.account);
        }
    }

    function _isOpen(uint64 id) private view returns (bool) {
        return _proposals[id].status == Status.OPEN && block.timestamp <= _proposals[id].closes;
    }

    function _count(uint64 id, Proposal storage p, uint8 who, bool support) private {
        if (support) p.supporters |= uint64(1) << who;
        else p.opponents |= uint64(1) << who;
        emit Voted(id, who, support);
        uint256 n = taken.count();
        uint256 required = 2 * n / 3 + 1; // G1
        if (p.supporters.count() >= required) {
            _pass(id, p);
        } else if (n - p.opponents.count() < required) {
            p.status = Status.REJECTED;
            emit ProposalRejected(id);
        }
    }

    /// @dev Only a removal does not wait for the running round: it voids the round. (G3)
    function _pass(uint64 id, Proposal storage p) private {
        Change memory change = _changeOf(id);
        bool removes = change.kind == Kind.REMOVE;
        uint64 seats = removes ? taken & ~(uint64(1) << change.seat) : taken;
        _checkCap(seats, change.policy.epsilonCap); // members may have spent since the proposal
        emit ProposalPassed(id);
        if (removes && _running()) _void(current, _rounds[current], VoidReason.MEMBER_REMOVED);
        if (_running()) {
            p.status = Status.PENDING;
            (pending, pendingCap) = (id, change.policy.epsilonCap);
        } else {
            _enact(id, p, change);
        }
    }

    function _changeOf(uint64 id) private view returns (Change memory) {
        return abi.decode(_proposals[id].change, (Change));
    }

    function _enact(uint64 id, Proposal storage p, Change memory change) private {
        Kind kind = change.kind;
        uint8 seat = change.seat;
        if (kind == Kind.ADMIT) _admit(change.card);
        else if (kind == Kind.REMOVE) _remove(seat);
        else if (kind == Kind.SUSPEND) _suspend(seat, true);
        else if (kind == Kind.REINSTATE) _reinstate(seat);
        else if (kind == Kind.ROTATE) _rotate(seat, change.card);
        else emit PolicyChanged(change.policy);
        _policy = change.policy;
        p.status = Status.ENACTED;
        emit Enacted(id, ++epoch); // G2
        _voidIfAllAbstained();
    }

    function _admit(Card memory card) private {
        uint8 seat = _vacant();
        _seat(seat, card, current + 1);
        emit MemberAdmitted(seat, card.account, current + 1);
    }

    /// @dev G4. The coming round may hold an abstention of the member that leaves.
    function _remove(uint8 seat) private {
        Member storage m = _members[seat];
        emit MemberRemoved(seat, m.account, m.epsilon);
        _indexOf[m.account] = RETIRED;
        uint64 others = ~(uint64(1) << seat);
        taken &= others;
        suspended &= others;
        led &= others;
        benched &= others;
        _rounds[current + 1].abstained &= others;
        delete _members[seat];
        delete _endpoints[seat];
    }

    function _reinstate(uint8 seat) private {
        suspended &= ~(uint64(1) << seat);
        (_members[seat].absences, _members[seat].stalls) = (0, 0);
        emit MemberReinstated(seat);
    }

    function _rotate(uint8 seat, Card memory card) private {
        Member storage m = _members[seat];
        if (m.account != card.account) {
            _indexOf[m.account] = RETIRED;
            _indexOf[card.account] = uint256(seat) + 1;
            m.account = card.account;
            m.commitment = card.commitment;
            m.reveals = 0;
        }
        _note(seat, card);
        emit KeysRotated(seat, card.account);
    }
}
