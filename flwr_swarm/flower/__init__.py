"""Adapters between the protocol and Flower. Only `compat` touches Flower's private parts."""
