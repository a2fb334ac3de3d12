// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {SwarmWords} from "../SwarmWords.sol";
import {Consortium} from "./Consortium.sol";
import {Surface} from "./Surface.sol";

/// @title The edges of merging and of what misses cost: each deadline, count and quorum by one.
contract RoundsTest is Consortium {
    function setUp() public {
        vm.warp(1_700_000_000);
        SwarmTypes.Policy memory p = _usual(7);
        (p.maxMisses, p.epsilonCap) = (2, 1000);
        _found(7, p);
    }

    /// @dev The sealing's deadline passes.
    function _close(uint64 round) private {
        vm.warp(_round().sealDeadline + 1);
        _as(_account(0));
        swarm.close(round);
    }

    function _certifyData(
        uint64 round,
        uint8 view_,
        uint256 included,
        uint64 signers,
        bytes[] memory list
    ) private pure returns (bytes memory) {
        bytes32 hash = keccak256(abi.encode("sum", round));
        return abi.encodeCall(Surface.certify, (round, view_, included, hash, signers, list));
    }

    function _try(uint256 included, uint64 signers, bytes memory error_) private {
        uint64 round = swarm.current();
        uint8 view_ = _round().view_;
        bytes32 hash = keccak256(abi.encode("sum", round));
        bytes[] memory list = _signatures(signers, round, view_, included, hash);
        _refuses(_account(0), _certifyData(round, view_, included, signers, list), error_);
    }

    function _advance() private {
        SwarmTypes.Round memory r = _round();
        vm.warp(r.mergeDeadline + 1);
        uint64 round = swarm.current();
        _as(_account(0));
        swarm.advance(round, r.view_);
    }

    function test_a_leader_has_its_deadline_to_the_last_second() public {
        _sealAll(0x7F, 1);
        uint64 deadline = _round().mergeDeadline;
        vm.warp(deadline);
        _refuses(
            _account(1),
            abi.encodeCall(Surface.advance, (1, 0)),
            abi.encodeWithSelector(SwarmWords.DeadlineNotReached.selector, deadline)
        );
        _certify(1);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.CERTIFIED), "phase");
    }

    function test_the_merge_deadline_doubles_and_the_round_ends_void() public {
        _sealAll(0x7F, 1);
        for (uint8 v; v < 3; ++v) {
            SwarmTypes.Round memory r = _round();
            same(r.view_, v, "view");
            same(r.mergeDeadline, block.timestamp + (uint256(60) << v), "deadline");
            uint8 leader = uint8(r.succession[v]);
            _advance();
            SwarmTypes.Member memory m = _seats()[leader];
            same(m.misses, 1, "misses");
            same(m.stalls, 1, "stalls");
            holds(_has(swarm.benched(), leader), "bench");
        }
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.VOID), "void");
        same(_count(swarm.led()), 3, "each failed leader had its turn");
    }

    /// @dev Benched for one draw: failed leaders hold no office in the next round, then again do.
    function test_a_failed_leader_sits_out_one_draw() public {
        _sealAll(0x7F, 1);
        uint8 failed = uint8(_round().succession[0]);
        _advance();
        _certify(1);
        _sealAll(0x7F, 2);
        holds(!_has(_setOf(_round().succession), failed), "office");
        same(swarm.benched(), 0, "bench is cleared by the draw");
        _certify(1);
        _sealAll(0x7F, 3);
        same(_setOf(_round().succession), 0x7F, "office again");
    }

    function test_a_quorum_is_needed_and_enough() public {
        _sealAll(0x7F, 1);
        SwarmTypes.Round memory r = _round();
        uint64 committee = _setOf(r.committee);
        uint8 leader = uint8(r.succession[0]);
        uint64 four = committee;
        for (uint8 m; _count(four) > 4; ++m) {
            if (m != leader) four &= ~(uint64(1) << m);
        }
        _try(r.sealers, four, abi.encodeWithSelector(SwarmWords.BelowQuorum.selector, 4, 5));
        _try(
            r.sealers,
            committee & ~(uint64(1) << leader),
            abi.encodeWithSelector(SwarmWords.LeaderNotSigned.selector, leader)
        );
        uint64 five = four | (committee & ~four & (~(committee & ~four) + 1));
        bytes32 hash = keccak256(abi.encode("sum", uint64(1)));
        bytes[] memory list = _signatures(five, 1, 0, r.sealers, hash);
        _as(_account(0));
        swarm.certify(1, 0, r.sealers, hash, five, list);
        same(swarm.lastCertified(), 1, "certified");
        same(_round().included, r.sealers, "included");
    }

    function test_a_certificate_counts_in_its_own_view_only() public {
        _sealAll(0x7F, 1);
        SwarmTypes.Round memory r = _round();
        bytes32 hash = keccak256(abi.encode("sum", uint64(1)));
        bytes[] memory stale = _signatures(0x7F, 1, 0, r.sealers, hash);
        _advance();
        _refuses(
            _account(0),
            _certifyData(1, 0, r.sealers, 0x7F, stale),
            abi.encodeWithSelector(SwarmWords.WrongView.selector, 0, 1)
        );
        _refuses( // signatures of view 0 under the name of view 1
            _account(0),
            _certifyData(1, 1, r.sealers, 0x7F, stale),
            abi.encodeWithSelector(SwarmWords.BadSignature.selector, 0)
        );
    }

    function test_the_included_are_sealers_and_enough() public {
        _sealAll(0x3F, 1);
        _close(1);
        uint64 officers = _officers(_round());
        _try(0x7F, officers, abi.encodeWithSelector(SwarmWords.NotSealed.selector, 0x40));
        _try(
            uint256(1) << 200 | 0x3F,
            officers,
            abi.encodeWithSelector(SwarmWords.NotSealed.selector, uint256(1) << 200)
        );
        _try(0x3, officers, abi.encodeWithSelector(SwarmWords.TooFewIncluded.selector, 2, 3));
        _try(
            0x3F,
            officers | 0x40,
            abi.encodeWithSelector(SwarmWords.NoOffice.selector, uint256(0x40))
        );
    }

    function test_one_certificate_a_round() public {
        _sealAll(0x7F, 1);
        _certify(0);
        bytes32 hash = keccak256("another");
        bytes[] memory list = _signatures(0x7F, 1, 0, 0x3F, hash);
        bytes memory data = abi.encodeCall(Surface.certify, (1, 0, 0x3F, hash, 0x7F, list));
        bytes memory name = abi.encodeWithSelector(SwarmWords.AlreadyCertified.selector, 1);
        _refuses(_account(0), data, name);
        _seal(0, 2);
        _refuses(_account(0), data, name);
    }

    function test_misses_in_a_row_suspend_and_no_more_than_f() public {
        for (uint64 round = 1; round <= 2; ++round) {
            _sealAll(0x0F, round); // 4, 5 and 6 are silent
            _close(round);
            same(_round().missed, 0x70, "missed");
            _certify(0);
        }
        same(swarm.suspended(), 0x30, "two of seven"); // f = 2, by ascending seat
        same(_seats()[6].misses, 2, "counted all the same");
        same(_seats()[6].absences, 2, "in a row");
        _refuses(
            _account(4),
            abi.encodeCall(Surface.abstain, (3)),
            abi.encodeWithSelector(SwarmWords.MemberIsSuspended.selector, 4)
        );
        _refuses(
            _account(5),
            abi.encodeCall(Surface.seal, (_sealCall(5, 3))),
            abi.encodeWithSelector(SwarmWords.MemberIsSuspended.selector, 5)
        );
        _seal(6, 3);
        same(_seats()[6].absences, 0, "the row ends");
    }

    function test_who_missed_sits_out_the_next_draw() public {
        _sealAll(0x3F, 1); // 6 is silent
        _close(1);
        same(swarm.benched(), 0x40, "bench");
        _certify(0);
        _sealAll(0x7F, 2);
        same(_setOf(_round().succession), 0x3F, "no office");
    }

    function test_an_opener_that_more_than_f_refuse_is_blamed() public {
        _seal(0, 1);
        for (uint8 m = 1; m < 7; ++m) {
            _as(_account(m));
            swarm.abstain(1);
        }
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.VOID), "void");
        same(_seats()[0].stalls, 1, "blamed");
        _sealAll(0x1F, 2); // two refuse: no more than f
        for (uint8 m = 5; m < 7; ++m) {
            _as(_account(m));
            swarm.abstain(2);
        }
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.MERGING), "enough sealed");
    }

    /// @dev f refusals are no proof: they may all be liars.
    function test_f_abstentions_blame_nobody() public {
        _seal(0, 1);
        _seal(1, 1);
        for (uint8 m = 2; m < 4; ++m) {
            _as(_account(m));
            swarm.abstain(1);
        }
        _close(1);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.VOID), "void");
        same(_seats()[0].stalls, 0, "nobody is to blame");
    }

    function test_a_policy_may_ask_for_a_greater_quorum() public {
        SwarmTypes.Policy memory p = _usual(7);
        p.quorum = 6;
        _found(7, p);
        _sealAll(0x7F, 1);
        uint8 leader = uint8(_round().succession[0]);
        uint64 five = 0x7F;
        for (uint8 m; _count(five) > 5; ++m) {
            if (m != leader) five &= ~(uint64(1) << m);
        }
        _try(0x7F, five, abi.encodeWithSelector(SwarmWords.BelowQuorum.selector, 5, 6));
    }

    /// @dev Where only the benched seal, they hold office: a committee of none would certify none.
    function test_the_committee_keeps_its_bound() public {
        _sealAll(0x7F, 1);
        for (uint256 i; i < 3; ++i) {
            _advance();
        }
        uint64 bench = swarm.benched();
        same(_count(bench), 3, "three failed");
        _sealAll(bench, 2);
        _close(2);
        same(_setOf(_round().committee), bench, "three sit");
        same(_setOf(_round().succession), bench, "and lead");
    }

    /// @dev Whoever makes others miss must not choose who checks a merge.
    function test_a_miss_costs_the_turn_of_leading_and_no_seat_on_the_committee() public {
        _sealAll(0x1F, 1);
        _close(1);
        _certify(0);
        same(swarm.benched(), 0x60, "two benched");
        _sealAll(0x7F, 2);
        same(_setOf(_round().succession), 0x1F, "they do not lead");
        same(_setOf(_round().committee), 0x7F, "they check");
    }

    function test_where_more_than_f_missed_nobody_is_benched() public {
        _sealAll(0x0F, 1);
        _close(1);
        _certify(0);
        same(_count(swarm.benched()), 3, "three of seven, f is two");
        _sealAll(0x7F, 2);
        same(_setOf(_round().succession), 0x7F, "all lead");
    }

    /// @dev Perhaps nobody else was told of a round in which no more than f spoke.
    function test_a_round_that_no_honest_member_joined_is_its_openers_own() public {
        _sealAll(0x03, 1);
        _close(1);
        same(uint8(_round().phase), uint8(SwarmTypes.Phase.VOID), "void");
        same(_seats()[0].stalls, 1, "the opener");
        same(_seats()[0].misses, 1, "counts");
        for (uint8 m = 1; m < 7; ++m) {
            same(_seats()[m].misses, 0, "nobody else");
        }
        same(swarm.benched(), 0x01, "bench");
    }

    /// @dev The draw takes this round's reveals and the last beacon, and nothing else.
    function test_the_beacon_is_mixed_from_this_rounds_reveals() public {
        bytes32 beacon;
        for (uint64 round = 1; round <= 2; ++round) {
            bytes32 mix;
            for (uint8 m; m < 7; ++m) {
                mix ^= keccak256(abi.encode(_account(m), _secret(_account(m), uint32(round) - 1)));
            }
            _sealAll(0x7F, round);
            beacon = keccak256(abi.encode(round, mix, beacon));
            holds(swarm.beacon() == beacon, "beacon");
            _certify(0);
        }
    }
}
