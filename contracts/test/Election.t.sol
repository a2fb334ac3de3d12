// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Election} from "../Election.sol";
import {Test} from "./Vm.sol";

/// @title What a draw promises, for all beacons, sets and sizes.
contract ElectionTest is Test {
    using Election for uint64;

    uint8 private constant NOBODY = 255;

    function testFuzz_succession_is_a_permutation(bytes32 beacon, uint64 eligible, uint64 led)
        public
        pure
    {
        vm.assume(eligible != 0);
        (bytes memory succession,,) = Election.draw(beacon, eligible, eligible, led, 7, NOBODY);
        same(succession.length, eligible.count(), "length");
        same(Election.setOf(succession), eligible, "members"); // as many, and all: each once
    }

    function testFuzz_committee_is_distinct_and_bounded(
        bytes32 beacon,
        uint64 eligible,
        uint64 led,
        uint8 bound_
    ) public pure {
        vm.assume(eligible != 0);
        uint8 most = uint8(bound(bound_, 1, 7));
        (, bytes memory committee,) = Election.draw(beacon, eligible, eligible, led, most, NOBODY);
        uint64 set = Election.setOf(committee);
        same(set.count(), committee.length, "each once");
        same(set & ~eligible, 0, "eligible only");
        uint256 n = eligible.count();
        same(committee.length, n < most ? n : most, "size");
    }

    /// @dev The bag: whoever has not led comes first; refilled only when nobody is left in it.
    function testFuzz_fresh_members_lead_first(bytes32 beacon, uint64 eligible, uint64 led)
        public
        pure
    {
        vm.assume(eligible != 0);
        (bytes memory succession,, uint64 bag) = Election.draw(beacon, eligible, eligible, led, 7, NOBODY);
        bool refilled = eligible & ~led == 0;
        same(bag, refilled ? led & ~eligible : led, "bag");
        uint64 fresh = eligible & ~bag;
        for (uint256 i; i < succession.length; ++i) {
            same(fresh.has(uint8(succession[i])) ? 1 : 0, i < fresh.count() ? 1 : 0, "order");
        }
    }

    function testFuzz_fixed_leader_comes_first(bytes32 beacon, uint64 eligible, uint64 led, uint8 m)
        public
        pure
    {
        vm.assume(eligible != 0);
        (bytes memory free,, uint64 bag) = Election.draw(beacon, eligible, eligible, led, 7, NOBODY);
        (bytes memory fixed_,, uint64 same_) = Election.draw(beacon, eligible, eligible, led, 7, m);
        same(same_, bag, "bag");
        same(Election.setOf(fixed_), eligible, "members");
        same(fixed_.length, free.length, "length");
        if (!eligible.has(m)) {
            same(uint256(keccak256(fixed_)), uint256(keccak256(free)), "as drawn");
            return;
        }
        same(uint8(fixed_[0]), m, "first");
        uint256 slot = 1; // the others stay in the order drawn
        for (uint256 i; i < free.length; ++i) {
            if (uint8(free[i]) != m) same(uint8(fixed_[slot++]), uint8(free[i]), "rest");
        }
    }

    /// @dev All 64 places are reachable by everybody: over many beacons each member leads.
    function test_every_member_leads_for_some_beacon() public pure {
        uint64 seen;
        uint64 sat;
        for (uint256 i; i < 200; ++i) {
            (bytes memory succession, bytes memory committee,) =
                Election.draw(keccak256(abi.encode(i)), 0xFFFF, 0xFFFF, 0, 4, NOBODY);
            seen |= uint64(1) << uint8(succession[0]);
            sat |= Election.setOf(committee);
        }
        same(seen, 0xFFFF, "leaders"); // misses one with probability 16 * (15/16)^200 < 5e-5
        same(sat, 0xFFFF, "committee");
    }

    /// @dev A beacon's three shuffles differ: the committee's order is not the succession's.
    function test_shuffles_are_independent() public pure {
        uint256 equal;
        for (uint256 i; i < 64; ++i) {
            (bytes memory a, bytes memory b,) =
                Election.draw(keccak256(abi.encode(i)), 0x7F, 0x7F, 0, 7, NOBODY);
            if (keccak256(a) == keccak256(b)) ++equal;
        }
        holds(equal < 3, "orders agree"); // 64 / 5040 expected
    }

    function test_two_quorums_share_more_than_the_faulty() public pure {
        for (uint256 c = 1; c <= 64; ++c) {
            uint256 q = Election.quorum(c);
            uint256 faulty = (c - 1) / 3;
            holds(q <= c, "reachable");
            holds(2 * q - c >= faulty + 1, "an honest member in common");
            holds(q <= c - faulty, "live without the faulty");
        }
    }

    function testFuzz_count_and_has_agree(uint64 set) public pure {
        uint256 members;
        for (uint8 m; m < 64; ++m) {
            if (set.has(m)) ++members;
        }
        same(set.count(), members, "count");
        holds(!set.has(64) && !set.has(255), "no member above 63");
    }
}
