"""A swarm on Flower's deployment engine: SuperLink, SuperNodes and chain as processes."""
