"""The attack harness: what leaks from a swarm, measured from every vantage point."""
