// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";
import {Watch} from "./Watch.sol";

/// @title Members at work on rounds: every action is one that the contract must accept.
abstract contract RoundActions is Watch {
    function _any(uint256 pick) internal view returns (uint8) {
        return _pick(swarm.taken(), pick);
    }

    function _eligible() internal view returns (uint64) {
        return swarm.taken() & ~swarm.suspended();
    }

    /// @dev Members whom the sealing that runs, or could start, still waits for.
    function _waiting() internal view returns (uint64 round, uint64 seats) {
        round = swarm.current();
        SwarmTypes.Round memory r = _round();
        if (r.phase == SwarmTypes.Phase.MERGING) return (round, 0);
        if (r.phase == SwarmTypes.Phase.SEALING) {
            if (block.timestamp > r.sealDeadline) return (round, 0);
        } else {
            r = swarm.roundAt(++round).round;
        }
        seats = _eligible() & ~(r.sealers | r.abstained | r.late);
    }

    function _cap() internal view returns (uint64 cap) {
        cap = _policy().epsilonCap;
        if (swarm.pending() == 0) return cap;
        bytes memory change = swarm.proposalAt(swarm.pending()).change;
        uint64 coming = abi.decode(change, (SwarmTypes.Change)).policy.epsilonCap;
        if (coming < cap) cap = coming;
    }

    function _sealing(uint8 seat, uint64 round, uint256 seed)
        internal
        returns (SwarmTypes.SealCall memory call_)
    {
        call_ = _sealCall(seat, round);
        call_.verified = seed % 8 != 0;
        uint64 spare = _cap() - call_.epsilon;
        call_.epsilon += uint64(seed % 5000 < spare ? seed % 5000 : spare);
        SwarmTypes.Round memory r = swarm.roundAt(round).round;
        call_.parent = r.parent != 0 ? r.parent : keccak256(abi.encode("model", seed));
        _parents[round][seat] = call_.parent;
    }

    function _doSeal(uint8 seat, uint64 round, uint256 seed) private watched {
        SwarmTypes.SealCall memory call_ = _sealing(seat, round, seed);
        _as(_account(seat));
        swarm.seal(call_);
    }

    function _doAbstain(uint8 seat, uint64 round) private watched {
        _as(_account(seat));
        swarm.abstain(round);
    }

    // --- what the campaign calls ------------------------------------------------------------

    /// @dev One member speaks.
    function speak(uint256 pick, uint256 seed) public {
        (uint64 round, uint64 seats) = _waiting();
        if (seats == 0) return;
        if (seed % 5 == 0) _doAbstain(_pick(seats, pick), round);
        else _doSeal(_pick(seats, pick), round, seed);
    }

    /// @dev Every member that is waited for speaks, but for some who stay silent.
    function speakMany(uint256 seed) public {
        (uint64 round, uint64 seats) = _waiting();
        for (uint8 m; m < 64; ++m) {
            if (!_has(seats, m)) continue;
            uint256 mood = uint256(keccak256(abi.encode(seed, m)));
            (uint64 now_, uint64 left) = _waiting();
            if (now_ != round || !_has(left, m)) return;
            if (mood % 16 == 0) _doAbstain(m, round);
            else if (mood % 16 > 2) _doSeal(m, round, mood);
        }
    }

    /// @dev One member carries the seals of all who are waited for; one signature is broken.
    function relay(uint256 pick, uint256 seed) public watched {
        (uint64 round, uint64 seats) = _waiting();
        if (seats == 0 || !_policy().relaying) return;
        uint256 n = _count(seats);
        SwarmTypes.SealCall[] memory calls = new SwarmTypes.SealCall[](n);
        bytes[] memory signatures = new bytes[](n);
        bytes32 parent = swarm.roundAt(round).round.parent;
        if (parent == 0) parent = keccak256(abi.encode("model", seed));
        uint256 slot;
        for (uint8 m; m < 64; ++m) {
            if (!_has(seats, m)) continue;
            calls[slot] = _sealing(m, round, uint256(keccak256(abi.encode(seed, m))));
            calls[slot].parent = parent;
            _parents[round][m] = parent;
            signatures[slot] = _sign(_account(m), _sealDigest(calls[slot]));
            ++slot;
        }
        if (seed % 3 == 0) signatures[seed % n][0] ^= 0x01;
        _as(_account(_any(pick)));
        swarm.sealBatch(calls, signatures);
        SwarmTypes.Round memory r = swarm.roundAt(round).round;
        if (r.relayed) ++relayed;
    }

    /// @dev The deadline passes: close the sealing, or replace the leader.
    function expire(uint256 pick, uint256 seed) public watched {
        SwarmTypes.Round memory r = _round();
        uint8 seat = _any(pick);
        if (seed % 3 == 0) {
            vm.warp(block.timestamp + seed % 700);
        } else if (r.phase == SwarmTypes.Phase.SEALING) {
            if (block.timestamp <= r.sealDeadline) vm.warp(r.sealDeadline + 1);
            uint64 round = swarm.current();
            _as(_account(seat));
            swarm.close(round);
        } else if (r.phase == SwarmTypes.Phase.MERGING) {
            if (block.timestamp <= r.mergeDeadline) vm.warp(r.mergeDeadline + 1);
            uint64 round = swarm.current();
            _as(_account(seat));
            swarm.advance(round, r.view_);
        }
    }

    /// @dev A quorum with its leader certifies some of the sealers.
    function certify(uint256 pick, uint256 seed) public watched {
        SwarmTypes.Round memory r = _round();
        if (r.phase != SwarmTypes.Phase.MERGING) return;
        uint64 included = r.sealers;
        for (uint256 i; i < 2; ++i) {
            uint64 fewer = included & ~(uint64(1) << uint8(seed >> (8 * i)) % 64);
            if (_count(fewer) >= _policy().minIncluded) included = fewer;
        }
        uint8 leader = uint8(r.succession[r.view_]);
        uint64 committee = _setOf(r.committee);
        uint256 size = r.committee.length;
        uint256 required = size - (size - 1) / 3; // a quorum and no more, now and then
        uint64 signers = committee;
        for (uint8 m; seed % 2 == 0 && m < 64 && _count(signers) > required; ++m) {
            if (m != leader) signers &= ~(uint64(1) << m);
        }
        _carry(
            _any(pick),
            r.view_,
            included,
            keccak256(abi.encode(seed)),
            signers | uint64(1) << leader
        );
    }

    function _carry(uint8 sender, uint8 view_, uint64 included, bytes32 hash, uint64 signers)
        private
    {
        uint64 round = swarm.current();
        bytes[] memory list = _signatures(signers, round, view_, included, hash);
        _as(_account(sender));
        swarm.certify(round, view_, included, hash, signers, list);
    }

    /// @dev A member that missed the sealing says what it spent.
    function late(uint256 pick, uint256 seed) public watched {
        SwarmTypes.Round memory r = _round();
        if (r.phase == SwarmTypes.Phase.IDLE) return;
        if (r.phase == SwarmTypes.Phase.SEALING && block.timestamp <= r.sealDeadline) return;
        uint64 seats = _eligible() & ~(r.sealers | r.abstained | r.late);
        if (seats == 0) return;
        uint8 seat = _pick(seats, pick);
        uint64 epsilon = _seats()[seat].epsilon;
        uint64 spare = _cap() - epsilon;
        epsilon += uint64(seed % 3000 < spare ? seed % 3000 : spare);
        uint64 round = swarm.current();
        _as(_account(seat));
        swarm.late(round, epsilon);
        ++lates;
    }
}
