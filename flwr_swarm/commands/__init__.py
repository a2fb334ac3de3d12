"""The commands of `flwr-swarm`, one file a group. Heavy imports wait until a command runs."""
