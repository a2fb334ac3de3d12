"""The one package that knows Flower's private parts; everything else uses its public API.

Measured with Flower 1.41.0; pyproject pins the minor version.
"""

from .engine import (
    Control,
    Node,
    app_hash,
    deactivate_node,
    parse_config,
    run_superlink,
    run_supernode,
)
from .messages import (
    as_from,
    bind_process,
    carried,
    detached_message,
    is_lost,
    unreadable,
    with_content,
)
from .replies import Announced, announced

__all__ = [
    "Announced",
    "Control",
    "Node",
    "announced",
    "app_hash",
    "as_from",
    "bind_process",
    "carried",
    "deactivate_node",
    "detached_message",
    "is_lost",
    "parse_config",
    "run_superlink",
    "run_supernode",
    "unreadable",
    "with_content",
]
