// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Campaign} from "./Campaign.sol";
import {Watch} from "./Watch.sol";
import {Test} from "./Vm.sol";

/// @title The promises of a swarm, each by name, under campaigns of guided and hostile actions.
/// @dev That campaigns get anywhere is CampaignReachTest's to show: one alone may be unlucky.
contract InvariantsTest is Test {
    Campaign private _campaign;

    function setUp() public {
        vm.warp(1_700_000_000);
        _campaign = new Campaign(6);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_campaign);
    }

    /// @dev One function, as forge runs a whole campaign for each; the error names the promise.
    function invariant_every_promise_is_kept() public view {
        _kept(Watch.Promise.ROUNDS_GROW_BY_ONE, "round numbers grow by one");
        _kept(Watch.Promise.PAST_ROUNDS_STAY, "a finished round never changes");
        _kept(Watch.Promise.ONE_CERTIFICATE, "one certificate a round");
        _kept(Watch.Promise.CERTIFIED_ARE_SEALERS, "the certified are sealers");
        _kept(Watch.Promise.ONE_PARENT, "all seals of a round name one parent");
        _kept(Watch.Promise.EPSILON_NEVER_FALLS, "epsilon never falls");
        _kept(Watch.Promise.EPSILON_WITHIN_CAP, "epsilon never exceeds the cap");
        _kept(Watch.Promise.COMMITTEE_BOUND, "a committee never shrinks below its bound");
        _kept(Watch.Promise.OFFICERS_SEALED, "only sealers hold office");
        _kept(Watch.Promise.LED_ONCE_A_BAG, "nobody leads again before the bag is refilled");
        _kept(Watch.Promise.EPOCH_GROWS_BY_ONE, "every change ends one epoch");
        _kept(Watch.Promise.VOTES_OF_ONE_EPOCH, "votes of another epoch never count");
        _kept(Watch.Promise.ENACTED_BY_TWO_THIRDS, "two thirds and one more decide");
        _kept(Watch.Promise.ROUND_KEEPS_ITS_MEMBERS, "a round keeps its members and policy");
        _kept(Watch.Promise.SEATS_AND_ACCOUNTS, "one account and one key a seat");
        _kept(Watch.Promise.REFUSED, "outsiders and cheats change nothing");
    }

    function _kept(Watch.Promise what, string memory named) private view {
        holds(!_campaign.broken(uint8(what)), named);
    }
}

/// @title How far a campaign gets: an invariant over states that are never reached is empty.
contract CampaignReachTest is Test {
    function test_campaigns_reach_every_kind_of_state() public {
        vm.warp(1_700_000_000);
        Campaign c = new Campaign(6);
        for (uint256 i; i < 1500; ++i) {
            uint256 seed = uint256(keccak256(abi.encode("campaign", i)));
            _act(c, seed % 16, seed >> 8, seed >> 128);
        }
        _reached("rounds certified", c.certified(), 50);
        _reached("rounds void", c.voided(), 10);
        _reached("views changed", c.views(), 10);
        _reached("rounds with carried seals", c.relayed(), 10);
        _reached("late seals", c.lates(), 5);
        _reached("attempts refused", c.refusals(), 200);
        _reached("changes enacted", c.enacted(), 20);
        string[6] memory kinds = ["admit", "remove", "suspend", "reinstate", "rotate", "policy"];
        for (uint256 k; k < 6; ++k) {
            _reached(kinds[k], c.kinds(k), 1);
        }
        for (uint8 p; p <= uint8(Watch.Promise.REFUSED); ++p) {
            holds(!c.broken(p), "broken");
        }
    }

    function _reached(string memory what, uint256 times, uint256 least) private view {
        log(what, times);
        holds(times >= least, what);
    }

    function _act(Campaign c, uint256 action, uint256 pick, uint256 seed) private {
        if (action == 0) c.speak(pick, seed);
        else if (action < 4) c.speakMany(seed);
        else if (action == 4) c.relay(pick, seed);
        else if (action == 5) c.expire(pick, seed);
        else if (action < 8) c.certify(pick, seed);
        else if (action == 8) c.late(pick, seed);
        else if (action == 9) c.propose(pick, seed);
        else if (action == 10) c.vote(pick, seed);
        else if (action == 11) c.decide(pick, seed);
        else if (action == 12) c.accuse(pick, seed);
        else if (action == 15) c.govern(pick, seed);
        else if (action == 13) c.outsider(pick, seed);
        else if (seed % 3 == 0) c.cheatSeal(pick, seed);
        else if (seed % 3 == 1) c.cheatCertify(pick, seed);
        else c.cheatVote(pick, seed);
    }
}
