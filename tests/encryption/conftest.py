"""No deadline on examples: a busy machine is no fault of the code."""

from hypothesis import settings

settings.register_profile("encryption", deadline=None)
settings.load_profile("encryption")
