"""How many processors there are to work on."""

from __future__ import annotations

import os
import sys

__all__ = ["usable_processors"]


def usable_processors() -> int:
    """Return how many processors this process may use, at least 1.

    A job of a cluster, and a container held to some processors, may use fewer than the machine has; more threads than
    those wait for each other.
    """
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
