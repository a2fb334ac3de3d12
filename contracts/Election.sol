// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The draw of leader, succession and committee, a function of its arguments alone.
/// @notice `flwr_swarm/protocol/election.py` is the same function in Python; a property test
///         holds the two together. Sets of members are 64-bit maps, bit i for member i.
library Election {
    /// @dev Domains keep the shuffles of one beacon independent of one another.
    uint256 private constant FRESH = 1;
    uint256 private constant REST = 2;
    uint256 private constant COMMITTEE = 3;

    /// @notice Draw the offices of one round.
    /// @param beacon Randomness of the round.
    /// @param eligible Members who may lead; they sealed: no reveal, no office. Not empty.
    /// @param pool Members who may sit on the committee. Not empty.
    /// @param led Members taken out of the shuffle bag.
    /// @param maxCommittee Upper bound of the committee's size.
    /// @param fixedLeader Member who comes first whenever eligible; 64 or more for none.
    /// @return succession Every eligible member once, in the order in which they may lead.
    /// @return committee Distinct members of the pool, at most maxCommittee.
    /// @return bag `led`, refilled if nobody eligible was left in the bag.
    function draw(
        bytes32 beacon,
        uint64 eligible,
        uint64 pool,
        uint64 led,
        uint8 maxCommittee,
        uint8 fixedLeader
    ) internal pure returns (bytes memory succession, bytes memory committee, uint64 bag) {
        bag = led;
        if (eligible & ~bag == 0) bag &= ~eligible; // everyone present has led: refill for them
        uint64 fresh = eligible & ~bag;
        uint256 size = count(eligible);

        succession = new bytes(size);
        uint256 cut = _fill(succession, 0, fresh);
        _fill(succession, cut, eligible & ~fresh);
        _shuffle(succession, 0, cut, beacon, FRESH);
        _shuffle(succession, cut, size, beacon, REST);
        if (has(eligible, fixedLeader)) _moveToFront(succession, fixedLeader);

        size = count(pool);
        committee = new bytes(size);
        _fill(committee, 0, pool);
        _shuffle(committee, 0, size, beacon, COMMITTEE);
        if (size > maxCommittee) {
            assembly ("memory-safe") {
                mstore(committee, maxCommittee) // a shorter length; the tail stays unused
            }
        }
    }

    /// @notice Signatures that a committee of `size` needs.
    /// @dev Two quorums share at least size - 2 * floor((size - 1) / 3) >= floor((size - 1) / 3) + 1
    ///      members, so at least one honest member while fewer than a third are faulty.
    function quorum(uint256 size) internal pure returns (uint256) {
        return size - (size - 1) / 3;
    }

    /// @notice Number of members in a set.
    function count(uint64 set) internal pure returns (uint256 members) {
        for (; set != 0; set &= set - 1) ++members;
    }

    /// @notice Whether `member` is in `set`.
    function has(uint64 set, uint8 member) internal pure returns (bool) {
        return member < 64 && (set >> member) & 1 == 1;
    }

    /// @notice The set of the members listed.
    function setOf(bytes memory list) internal pure returns (uint64 set) {
        for (uint256 i; i < list.length; ++i) set |= uint64(1) << uint8(list[i]);
    }

    function _fill(bytes memory list, uint256 slot, uint64 set) private pure returns (uint256) {
        for (uint8 member; set != 0; set >>= 1) {
            if (set & 1 == 1) list[slot++] = bytes1(member);
            ++member;
        }
        return slot;
    }

    /// @dev Fisher and Yates on list[from:to]. A remainder of 256 uniform bits by at most 64
    ///      favours no index by more than 2^-250, so no rejection is needed.
    function _shuffle(bytes memory list, uint256 from, uint256 to, bytes32 beacon, uint256 domain)
        private
        pure
    {
        for (uint256 left = to - from; left > 1; --left) {
            uint256 pick = uint256(keccak256(abi.encode(beacon, domain, left))) % left;
            (list[from + left - 1], list[from + pick]) = (list[from + pick], list[from + left - 1]);
        }
    }

    function _moveToFront(bytes memory list, uint8 member) private pure {
        bytes1 carried = bytes1(member);
        for (uint256 i; i < list.length; ++i) {
            (list[i], carried) = (carried, list[i]);
            if (carried == bytes1(member)) return;
        }
    }
}
