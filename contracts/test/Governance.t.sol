// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {SwarmWords} from "../SwarmWords.sol";
import {Consortium} from "./Consortium.sol";
import {Surface} from "./Surface.sol";

/// @title The edges of governance: each majority, epoch, deadline and consent by one.
contract GovernanceTest is Consortium {
    function setUp() public {
        vm.warp(1_700_000_000);
        _found(7, _usual(7));
    }

    /// @dev Pass `change` by seats 0 to 4: 2 * 7 / 3 + 1 votes.
    function _pass(SwarmTypes.Change memory change) private returns (uint64 id) {
        id = _propose(0, change);
        for (uint8 m = 1; m < 5; ++m) {
            _vote(m, id, true);
        }
    }

    function _admission(uint256 site, uint256 n) private returns (SwarmTypes.Change memory change) {
        change = _change(SwarmTypes.Kind.ADMIT, NONE, n);
        change.card = _card(site, address(swarm));
        change.expires = uint64(block.timestamp + 1 hours);
    }

    function _status(uint64 id) private view returns (uint8) {
        return uint8(swarm.proposalAt(id).status);
    }

    function _voteData(uint64 id) private pure returns (bytes memory) {
        return abi.encodeCall(Surface.vote, (id, true));
    }

    /// @dev n from 1 to 10: the floor(2n/3) + 1st vote decides, and no earlier one.
    function test_two_thirds_and_one_more_decide() public {
        for (uint256 n = 1; n <= 10; ++n) {
            _found(n, _usual(n));
            uint256 required = 2 * n / 3 + 1;
            uint64 id = _propose(0, _change(SwarmTypes.Kind.POLICY, NONE, n));
            for (uint8 m = 1; m < required; ++m) {
                same(_status(id), uint8(SwarmTypes.Status.OPEN), "open");
                _vote(m, id, true);
            }
            same(_status(id), uint8(SwarmTypes.Status.ENACTED), "enacted");
            same(swarm.epoch(), 2, "epoch");
        }
    }

    function test_it_is_rejected_once_it_cannot_pass() public {
        uint64 id = _propose(0, _change(SwarmTypes.Kind.POLICY, NONE, 7));
        _vote(1, id, false);
        _vote(2, id, false);
        same(_status(id), uint8(SwarmTypes.Status.OPEN), "five may still agree");
        _vote(3, id, false);
        same(_status(id), uint8(SwarmTypes.Status.REJECTED), "four are too few");
        bytes memory name = abi.encodeWithSelector(SwarmWords.ProposalClosed.selector, id);
        _refuses(_account(4), _voteData(id), name);
    }

    function test_votes_end_with_their_epoch() public {
        uint64 old = _propose(5, _change(SwarmTypes.Kind.SUSPEND, 6, 7));
        for (uint8 m = 1; m < 4; ++m) {
            _vote(m, old, true);
        }
        _pass(_change(SwarmTypes.Kind.POLICY, NONE, 7));
        bytes memory name = abi.encodeWithSelector(SwarmWords.StaleProposal.selector, old, 1);
        _refuses(_account(4), _voteData(old), name);
        same(_status(old), uint8(SwarmTypes.Status.OPEN), "never enacted");
        same(swarm.suspended(), 0, "nobody suspended");
    }

    function test_a_member_votes_once_and_in_time() public {
        uint64 id = _propose(0, _change(SwarmTypes.Kind.POLICY, NONE, 7));
        bytes memory twice = abi.encodeWithSelector(SwarmWords.AlreadyVoted.selector, id, 0);
        _refuses(_account(0), _voteData(id), twice);
        _vote(6, id, false);
        twice = abi.encodeWithSelector(SwarmWords.AlreadyVoted.selector, id, 6);
        _refuses(_account(6), _voteData(id), twice); // nor does an opponent turn supporter
        uint64 closes = swarm.proposalAt(id).closes;
        same(closes, block.timestamp + 86_400, "closes");
        vm.warp(closes);
        _vote(1, id, true);
        vm.warp(closes + 1);
        bytes memory expired = abi.encodeWithSelector(SwarmWords.ProposalExpired.selector, id);
        _refuses(_account(2), _voteData(id), expired);
    }

    function test_a_later_proposal_withdraws_the_earlier() public {
        uint64 first = _propose(0, _change(SwarmTypes.Kind.SUSPEND, 6, 7));
        _propose(0, _change(SwarmTypes.Kind.SUSPEND, 5, 7));
        same(_status(first), uint8(SwarmTypes.Status.WITHDRAWN), "withdrawn");
        bytes memory name = abi.encodeWithSelector(SwarmWords.ProposalClosed.selector, first);
        _refuses(_account(1), _voteData(first), name);
    }

    function test_a_round_that_nobody_can_open_is_void() public {
        for (uint8 m = 0; m < 6; ++m) {
            _as(_account(m));
            swarm.abstain(1);
        }
        same(swarm.current(), 0, "one may still open it");
        _pass(_change(SwarmTypes.Kind.SUSPEND, 6, 7));
        same(swarm.current(), 1, "nobody may");
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.VOID), "void");
    }

    function test_a_seat_is_reused_and_inherits_nothing() public {
        _sealAll(0x7F, 1);
        uint8 leader = uint8(_round().succession[0]);
        _certify(0);
        uint8 out = leader;
        _as(_account(out));
        swarm.abstain(2);
        address gone = _account(out);
        SwarmTypes.Change memory removal = _change(SwarmTypes.Kind.REMOVE, out, 6);
        removal.policy.closeAt = 6;
        uint64 id = _propose(0, removal);
        for (uint8 m = 1; m < 7 && _status(id) != uint8(SwarmTypes.Status.ENACTED); ++m) {
            _vote(m, id, true);
        }
        holds(!_has(swarm.taken(), out), "vacant");
        bytes memory name = abi.encodeWithSelector(SwarmWords.NotAMember.selector, gone);
        _refuses(gone, abi.encodeCall(Surface.abstain, (2)), name);
        uint8 sender = out == 0 ? 1 : 0;
        id = _propose(sender, _admission(20, 7));
        for (uint8 m; m < 7 && _status(id) != uint8(SwarmTypes.Status.ENACTED); ++m) {
            if (m != out && m != sender) _vote(m, id, true);
        }
        same(swarm.taken(), 0x7F, "the lowest vacant seat");
        SwarmTypes.Member memory m_ = _seats()[out];
        same(uint160(m_.account), uint160(vm.addr(0xC0FFEE + 20)), "account");
        same(m_.since, 2, "since the coming round");
        same(m_.reveals, 0, "reveals");
        holds(!_has(swarm.led() | swarm.benched() | swarm.suspended(), out), "no turn taken");
        holds(!_has(swarm.roundAt(2).round.abstained, out), "no word given");
        _seal(out, 2);
    }

    function test_an_account_has_one_seat_ever() public {
        SwarmTypes.Change memory again = _admission(6, 8);
        bytes memory consent = _sign(again.card.account, _consentDigest(again));
        bytes memory name =
            abi.encodeWithSelector(SwarmWords.AccountUsed.selector, again.card.account);
        bytes memory data = abi.encodeCall(Surface.propose, (again, consent));
        _refuses(_account(0), data, name);
        _pass(_change(SwarmTypes.Kind.REMOVE, 6, 6));
        same(swarm.taken(), 0x3F, "removed");
        again = _admission(6, 7);
        consent = _sign(again.card.account, _consentDigest(again));
        _refuses(_account(0), abi.encodeCall(Surface.propose, (again, consent)), name);
    }

    function test_consent_is_of_the_account_for_this_card_in_time() public {
        SwarmTypes.Change memory change = _admission(20, 8);
        bytes memory consent = _sign(change.card.account, _consentDigest(change));
        bytes memory name =
            abi.encodeWithSelector(SwarmWords.BadConsent.selector, change.card.account);
        change.card.epsilon = 1; // another card than was signed
        _refuses(_account(0), abi.encodeCall(Surface.propose, (change, consent)), name);
        change.card.epsilon = 0;
        bytes memory other = _sign(_account(1), _consentDigest(change));
        _refuses(_account(0), abi.encodeCall(Surface.propose, (change, other)), name);
        uint64 expires = change.expires;
        vm.warp(expires + 1);
        bytes memory expired = abi.encodeWithSelector(SwarmWords.ConsentExpired.selector, expires);
        _refuses(_account(0), abi.encodeCall(Surface.propose, (change, consent)), expired);
        vm.warp(expires);
        _as(_account(0));
        same(swarm.propose(change, consent), 1, "in time");
    }

    function test_keys_rotate_and_the_old_account_is_out() public {
        address old = _account(3);
        SwarmTypes.Change memory change = _change(SwarmTypes.Kind.ROTATE, 3, 7);
        change.card = _card(20, address(swarm));
        change.expires = uint64(block.timestamp);
        _pass(change);
        same(uint160(_account(3)), uint160(change.card.account), "account");
        bytes memory name = abi.encodeWithSelector(SwarmWords.NotAMember.selector, old);
        _refuses(old, abi.encodeCall(Surface.abstain, (1)), name);
        _seal(3, 1);
    }

    /// @dev G3: a policy that passes in mid-round begins with the next; a lower cap counts at once.
    function test_a_change_waits_for_the_end_of_the_round() public {
        _seal(0, 1);
        SwarmTypes.Change memory change = _change(SwarmTypes.Kind.POLICY, NONE, 7);
        change.policy.epsilonCap = 500;
        uint64 id = _pass(change);
        same(swarm.pending(), id, "pending");
        same(swarm.epoch(), 1, "epoch");
        SwarmTypes.SealCall memory call_ = _sealCall(1, 1);
        call_.epsilon = 501;
        _refuses(
            _account(1),
            abi.encodeCall(Surface.seal, (call_)),
            abi.encodeWithSelector(SwarmWords.BudgetExceeded.selector, 501, 500)
        );
        bytes memory pending = abi.encodeWithSelector(SwarmWords.ChangePending.selector, id);
        _refuses(_account(5), _voteData(id), pending);
        _sealAll(0x7E, 1);
        same(_policy().epsilonCap, 1_000_000, "the round's policy");
        _certify(0);
        same(_policy().epsilonCap, 500, "enacted");
        same(swarm.pending(), 0, "nothing waits");
        same(swarm.epoch(), 2, "epoch");
    }

    function test_a_removal_voids_the_round() public {
        _sealAll(0x7F, 1);
        _pass(_change(SwarmTypes.Kind.REMOVE, 6, 6));
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.VOID), "void");
        same(swarm.taken(), 0x3F, "removed");
    }

    function test_a_cap_below_what_was_spent_is_refused() public {
        SwarmTypes.Change memory change = _change(SwarmTypes.Kind.POLICY, NONE, 7);
        change.policy.epsilonCap = 9;
        uint64 id = _propose(0, change);
        for (uint8 m = 1; m < 4; ++m) {
            _vote(m, id, true);
        }
        SwarmTypes.SealCall memory call_ = _sealCall(6, 1);
        call_.epsilon = 10;
        _as(_account(6));
        swarm.seal(call_);
        bytes memory name = abi.encodeWithSelector(SwarmWords.CapBelowSpent.selector, 9, 10);
        _refuses(_account(4), _voteData(id), name);
        bytes memory data = abi.encodeCall(Surface.propose, (change, ""));
        _refuses(_account(1), data, name);
    }

    /// @dev Two sets of openers share an honest one: 2 * threshold > n + f, for every n.
    function test_the_least_threshold_is_enough_and_no_less() public {
        for (uint256 n = 1; n <= 9; ++n) {
            SwarmTypes.Policy memory p = _usual(n);
            _found(n, p);
            SwarmTypes.Change memory change = _change(SwarmTypes.Kind.POLICY, NONE, n);
            uint8 less = --change.policy.threshold;
            bytes memory name =
                abi.encodeWithSelector(SwarmWords.ThresholdOutOfRange.selector, less);
            _refuses(_account(0), abi.encodeCall(Surface.propose, (change, "")), name);
        }
    }

    function test_a_key_has_one_seat() public {
        SwarmTypes.Change memory change = _admission(20, 8);
        change.card.encryptionKey = _seats()[3].encryptionKey;
        bytes memory consent = _sign(change.card.account, _consentDigest(change));
        bytes memory name =
            abi.encodeWithSelector(SwarmWords.KeyUsed.selector, change.card.encryptionKey);
        _refuses(_account(0), abi.encodeCall(Surface.propose, (change, consent)), name);
    }

    function _statement(uint8 seat, uint64 round, uint8 view_, bytes32 hash)
        private
        view
        returns (SwarmTypes.Statement memory s)
    {
        (s.round, s.view_, s.included, s.aggregateHash) = (round, view_, 7, hash);
        s.signature = _sign(_account(seat), _certificateDigest(round, view_, 7, hash));
    }

    function test_two_merges_of_one_view_are_a_fault_and_two_views_are_none() public {
        SwarmTypes.Statement memory one = _statement(2, 4, 0, "one");
        SwarmTypes.Statement memory other = _statement(2, 4, 0, "other");
        bytes memory none = abi.encodeWithSelector(SwarmWords.NotEquivocation.selector);
        address who = _account(0);
        _refuses(who, abi.encodeCall(Surface.accuse, (2, one, one)), none);
        SwarmTypes.Statement memory next = _statement(2, 4, 1, "other");
        _refuses(who, abi.encodeCall(Surface.accuse, (2, one, next)), none);
        bytes memory forged = abi.encodeWithSelector(SwarmWords.BadSignature.selector, 3);
        _refuses(who, abi.encodeCall(Surface.accuse, (3, one, other)), forged);
        SwarmTypes.Statement memory alien = _statement(5, 4, 0, "other");
        forged = abi.encodeWithSelector(SwarmWords.BadSignature.selector, 2);
        _refuses(who, abi.encodeCall(Surface.accuse, (2, one, alien)), forged);
        _as(who);
        swarm.accuse(2, one, other);
        same(_seats()[2].faults, 1, "faults");
        same(swarm.suspended(), 4, "suspended");
        bytes memory again = abi.encodeWithSelector(SwarmWords.AlreadyAccused.selector, 2, 4, 0);
        _refuses(who, abi.encodeCall(Surface.accuse, (2, other, one)), again);
    }

    function test_the_suspended_sit_where_the_committee_would_be_too_small() public {
        _sealAll(0x07, 1);
        SwarmTypes.Statement memory one = _statement(2, 4, 0, "one");
        SwarmTypes.Statement memory other = _statement(2, 4, 0, "other");
        _as(_account(0));
        swarm.accuse(2, one, other);
        vm.warp(_round().sealDeadline + 1);
        _as(_account(0));
        swarm.close(1);
        same(_setOf(_round().committee), 0x07, "three sit");
    }

    function test_the_suspended_vote_and_are_reinstated() public {
        _pass(_change(SwarmTypes.Kind.SUSPEND, 6, 7));
        same(swarm.suspended(), 0x40, "suspended");
        uint64 id = _propose(6, _change(SwarmTypes.Kind.REINSTATE, 6, 7));
        for (uint8 m = 0; m < 4; ++m) {
            _vote(m, id, true);
        }
        same(swarm.suspended(), 0, "reinstated");
    }
}
