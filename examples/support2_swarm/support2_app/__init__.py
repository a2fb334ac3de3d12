"""Hospitals that share no patient train a model of death in hospital, on SUPPORT2."""
