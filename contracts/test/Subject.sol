// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Has `forge build` compile what the tests deploy by its name.
import {Swarm} from "../Swarm.sol";
