// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SwarmTypes} from "../SwarmTypes.sol";

/// @title All that a swarm answers to, however its code is divided.
interface Surface {
    function seal(SwarmTypes.SealCall calldata call_) external;
    function sealSigned(SwarmTypes.SealCall calldata call_, bytes calldata signature) external;
    function sealBatch(SwarmTypes.SealCall[] calldata calls, bytes[] calldata signatures) external;
    function abstain(uint64 round) external;
    function late(uint64 round, uint64 epsilon) external;
    function close(uint64 round) external;
    function certify(
        uint64 round,
        uint8 view_,
        uint256 included,
        bytes32 aggregateHash,
        uint256 signers,
        bytes[] calldata signatures
    ) external;
    function advance(uint64 round, uint8 view_) external;
    function propose(SwarmTypes.Change calldata change, bytes calldata consent)
        external
        returns (uint64 id);
    function vote(uint64 id, bool support) external;
    function accuse(
        uint8 member,
        SwarmTypes.Statement calldata first,
        SwarmTypes.Statement calldata second
    ) external;

    function look()
        external
        view
        returns (
            uint64 time,
            uint64 epoch,
            uint64 pending,
            uint64 suspended,
            SwarmTypes.Policy memory policy,
            SwarmTypes.Member[] memory seats,
            SwarmTypes.RoundSeen memory newest,
            SwarmTypes.RoundSeen memory final_
        );
    function roundAt(uint64 number) external view returns (SwarmTypes.RoundSeen memory);
    function proposalAt(uint64 id) external view returns (SwarmTypes.Proposal memory);
    function endpoints() external view returns (string[] memory);
    function current() external view returns (uint64);
    function lastCertified() external view returns (uint64);
    function led() external view returns (uint64);
    function benched() external view returns (uint64);
    function suspended() external view returns (uint64);
    function taken() external view returns (uint64);
    function epoch() external view returns (uint64);
    function proposals() external view returns (uint64);
    function pending() external view returns (uint64);
    function beacon() external view returns (bytes32);
}
