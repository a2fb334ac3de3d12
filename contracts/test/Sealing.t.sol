// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {SwarmWords} from "../SwarmWords.sol";
import {Consortium} from "./Consortium.sol";
import {Surface} from "./Surface.sol";

/// @title The edges of sealing: its deadline, its count, its budget, and who comes late.
contract SealingTest is Consortium {
    function setUp() public {
        vm.warp(1_700_000_000);
        SwarmTypes.Policy memory p = _usual(7);
        p.epsilonCap = 1000;
        _found(7, p);
    }

    function _closeData(uint64 round) private pure returns (bytes memory) {
        return abi.encodeCall(Surface.close, (round));
    }

    function test_sealing_stays_open_through_its_last_second() public {
        _seal(0, 1);
        uint64 deadline = _round().sealDeadline;
        same(deadline, block.timestamp + 600, "deadline");
        vm.warp(deadline);
        _refuses(
            _account(1),
            _closeData(1),
            abi.encodeWithSelector(SwarmWords.DeadlineNotReached.selector, deadline)
        );
        _seal(1, 1);
        vm.warp(deadline + 1);
        _refuses(
            _account(2),
            abi.encodeCall(Surface.seal, (_sealCall(2, 1))),
            abi.encodeWithSelector(SwarmWords.SealingClosed.selector, 1)
        );
    }

    function test_late_is_heard_but_not_summed() public {
        _sealAll(0x3F, 1);
        _refuses(
            _account(6),
            abi.encodeCall(Surface.late, (1, 7)),
            abi.encodeWithSelector(SwarmWords.SealingOpen.selector, 1)
        );
        vm.warp(_round().sealDeadline + 1);
        _as(_account(6));
        swarm.late(1, 7);
        _as(_account(0));
        swarm.close(1);
        same(_round().missed, 1 << 6, "late is missed");
        same(_seats()[6].absences, 1, "and counts");
        same(_round().sealers, 0x3F, "sealers");
        same(_seats()[6].epsilon, 7, "spent");
        _refuses(
            _account(6),
            abi.encodeCall(Surface.late, (1, 7)),
            abi.encodeWithSelector(SwarmWords.AlreadyLate.selector, 1, 6)
        );
    }

    function test_coming_late_undoes_no_miss() public {
        _sealAll(0x3F, 1);
        vm.warp(_round().sealDeadline + 1);
        _as(_account(0));
        swarm.close(1);
        _as(_account(6));
        swarm.late(1, 7);
        same(_round().missed, 1 << 6, "missed");
        same(swarm.benched(), 1 << 6, "benched");
        same(_seats()[6].absences, 1, "absences");
    }

    function test_a_call_that_is_no_transaction_of_the_member_is_refused() public {
        vm.prank(_account(0), address(this));
        (bool done,) = address(swarm).call(abi.encodeCall(Surface.abstain, (1)));
        holds(!done, "was accepted");
    }

    function test_the_budget_ends_at_the_cap() public {
        SwarmTypes.SealCall memory call_ = _sealCall(0, 1);
        call_.epsilon = 1001;
        _refuses(
            _account(0),
            abi.encodeCall(Surface.seal, (call_)),
            abi.encodeWithSelector(SwarmWords.BudgetExceeded.selector, 1001, 1000)
        );
        call_.epsilon = 1000;
        _as(_account(0));
        swarm.seal(call_);
        same(_seats()[0].epsilon, 1000, "spent");
    }

    /// @dev A carried round waits for everybody, so no carrier chooses whose reveals count.
    function test_a_carried_seal_keeps_sealing_open() public {
        SwarmTypes.Policy memory p = _usual(7);
        p.closeAt = 3;
        _found(7, p);
        SwarmTypes.SealCall[] memory calls = new SwarmTypes.SealCall[](1);
        calls[0] = _sealCall(0, 1);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = _sign(_account(0), _sealDigest(calls[0]));
        _as(_account(1));
        swarm.sealBatch(calls, signatures);
        _sealAll(0x7E & ~uint64(0x40), 1);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.SEALING), "still open");
        _seal(6, 1);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.MERGING), "all have spoken");
    }

    function test_sealing_closes_at_its_count() public {
        SwarmTypes.Policy memory p = _usual(7);
        p.closeAt = 4;
        _found(7, p);
        _sealAll(0x07, 1);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.SEALING), "three");
        _seal(3, 1);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.MERGING), "four");
    }

    function _sealRefused(SwarmTypes.SealCall memory call_, uint8 who, bytes memory error_)
        private
    {
        _refuses(_account(who), abi.encodeCall(Surface.seal, (call_)), error_);
    }

    function test_a_member_speaks_once_a_round() public {
        _seal(0, 1);
        bytes memory sealed_ = abi.encodeWithSelector(SwarmWords.AlreadySealed.selector, 1, 0);
        _sealRefused(_sealCall(0, 1), 0, sealed_);
        _refuses(_account(0), abi.encodeCall(Surface.abstain, (1)), sealed_);
        _as(_account(1));
        swarm.abstain(1);
        bytes memory gone = abi.encodeWithSelector(SwarmWords.AlreadyAbstained.selector, 1, 1);
        _sealRefused(_sealCall(1, 1), 1, gone);
    }

    function test_all_seals_of_a_round_name_one_parent() public {
        _seal(0, 1);
        SwarmTypes.SealCall memory call_ = _sealCall(1, 1);
        call_.parent = keccak256("crafted");
        bytes memory name =
            abi.encodeWithSelector(SwarmWords.ParentMismatch.selector, call_.parent, MODEL);
        _sealRefused(call_, 1, name);
    }

    function test_a_reveal_opens_the_members_own_commitment() public {
        SwarmTypes.SealCall memory call_ = _sealCall(0, 1);
        call_.reveal = _secret(_account(1), 0);
        _sealRefused(call_, 0, abi.encodeWithSelector(SwarmWords.WrongReveal.selector, 0, 0));
    }

    function test_epsilon_never_falls() public {
        SwarmTypes.SealCall memory call_ = _sealCall(0, 1);
        call_.epsilon = 9;
        _as(_account(0));
        swarm.seal(call_);
        _sealAll(0x7E, 1);
        _certify(0);
        call_ = _sealCall(0, 2);
        call_.epsilon = 8;
        _sealRefused(call_, 0, abi.encodeWithSelector(SwarmWords.EpsilonDecreased.selector, 8, 9));
    }

    function test_a_round_opens_when_the_last_is_over() public {
        _seal(0, 1);
        bytes memory name = abi.encodeWithSelector(SwarmWords.WrongRound.selector, 2, 1);
        _sealRefused(_sealCall(1, 2), 1, name);
        _sealAll(0x7E, 1);
        _sealRefused(_sealCall(1, 2), 1, name);
        _certify(0);
        _sealRefused(
            _sealCall(1, 1), 1, abi.encodeWithSelector(SwarmWords.SealingClosed.selector, 1)
        );
        _seal(1, 2);
    }

    function test_a_carried_seal_is_its_signers() public {
        SwarmTypes.SealCall[] memory calls = new SwarmTypes.SealCall[](2);
        bytes[] memory signatures = new bytes[](2);
        (calls[0], calls[1]) = (_sealCall(0, 1), _sealCall(1, 1));
        signatures[0] = _sign(_account(1), _sealDigest(calls[0])); // its reveal is another's
        signatures[1] = _sign(_account(1), _sealDigest(calls[1]));
        calls[1].payloadHash = keccak256("another payload");
        _as(_account(2));
        swarm.sealBatch(calls, signatures);
        same(_round().sealers, 0, "none was taken");
    }

    /// @dev Without the signature of a member, even a member's own reveal carries nothing.
    function test_a_strangers_signature_carries_nothing() public {
        SwarmTypes.SealCall[] memory calls = new SwarmTypes.SealCall[](1);
        bytes[] memory signatures = new bytes[](1);
        calls[0] = _sealCall(0, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(0xBAD, _sealDigest(calls[0]));
        signatures[0] = abi.encodePacked(r, s, v);
        _as(_account(2));
        swarm.sealBatch(calls, signatures);
        same(swarm.current(), 0, "no round was opened");
    }

    function test_witnesses_of_the_last_merge_are_waited_for() public {
        SwarmTypes.Policy memory p = _usual(7);
        (p.witnesses, p.closeAt) = (2, 3);
        _found(7, p);
        _sealAll(0x07, 1);
        uint64 committee = _setOf(_round().committee);
        same(committee, 0x07, "committee");
        _certify(0);
        _sealAll(0x78, 2);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.SEALING), "no witness has sealed");
        _seal(0, 2);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.SEALING), "one has");
        _seal(1, 2);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.MERGING), "two have");
    }

    /// @dev The seat was on the committee; its new member was not.
    function test_a_seats_new_member_is_no_witness() public {
        SwarmTypes.Policy memory p = _usual(7);
        (p.witnesses, p.closeAt) = (1, 3);
        _found(7, p);
        _sealAll(0x07, 1);
        _certify(0);
        uint64 id = _propose(0, _change(SwarmTypes.Kind.REMOVE, 2, 6));
        for (uint8 m = 3; m < 7; ++m) {
            _vote(m, id, true);
        }
        SwarmTypes.Change memory change = _change(SwarmTypes.Kind.ADMIT, NONE, 7);
        change.card = _card(20, address(swarm));
        change.expires = uint64(block.timestamp);
        id = _propose(0, change);
        for (uint8 m = 3; m < 7; ++m) {
            _vote(m, id, true);
        }
        same(swarm.taken(), 0x7F, "seat 2 is taken again");
        _sealAll(0x1C, 2);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.SEALING), "nobody saw the sum");
        _seal(1, 2);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.MERGING), "a witness");
    }
}
