// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {Consortium} from "./Consortium.sol";

/// @title Gas of each call among 16 members, as transactions of their own.
/// @dev `python contracts/check.py gas` compares with contracts/gas; `--write` renews it.
contract GasTest is Consortium {
    uint64 private constant ALL = 0xFFFF;

    function setUp() public {
        vm.warp(1_700_000_000);
        _found(16, _usual(16));
    }

    function _snap(string memory name) private {
        vm.snapshotGasLastCall("calls", name);
    }

    function test_a_round_of_direct_seals() public {
        _seal(0, 1);
        _snap("seal: opens a round");
        _sealAll(ALL & ~uint64(0x8001), 1);
        _snap("seal");
        _seal(15, 1);
        _snap("seal: the last, with the draw");
        _certify(0);
        _snap("certify: seven signatures");
        _sealAll(ALL, 2);
        _certify(0);
        _seal(0, 3);
        _snap("seal: opens a later round");
    }

    function test_a_round_of_one_batch() public {
        SwarmTypes.SealCall[] memory calls = new SwarmTypes.SealCall[](16);
        bytes[] memory signatures = new bytes[](16);
        for (uint8 m; m < 16; ++m) {
            calls[m] = _sealCall(m, 1);
            signatures[m] = _sign(_account(m), _sealDigest(calls[m]));
        }
        _as(_account(0));
        swarm.sealBatch(calls, signatures);
        _snap("sealBatch: sixteen seals and the draw");
    }

    function test_what_else_a_round_may_need() public {
        _sealAll(ALL & ~uint64(0xE000), 1);
        _as(_account(13));
        swarm.abstain(1);
        _snap("abstain");
        vm.warp(_round().sealDeadline + 1);
        _as(_account(14));
        swarm.late(1, 7);
        _snap("late");
        _as(_account(0));
        swarm.close(1);
        _snap("close: one missed, with the draw");
        vm.warp(_round().mergeDeadline + 1);
        _as(_account(0));
        swarm.advance(1, 0);
        _snap("advance");
    }

    function test_governance() public {
        SwarmTypes.Change memory change = _change(SwarmTypes.Kind.ADMIT, NONE, 17);
        change.card = _card(20, address(swarm));
        change.expires = uint64(block.timestamp);
        uint64 id = _propose(0, change);
        _snap("propose: an admission");
        for (uint8 m = 1; m < 10; ++m) {
            _vote(m, id, true);
        }
        _snap("vote");
        _vote(10, id, true);
        _snap("vote: the last, which admits");
    }
}
