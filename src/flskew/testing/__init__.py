"""Conformance kits: check that a partitioner or a shift of your own obeys the laws that flskew's own obey."""

from __future__ import annotations

from flskew.testing._errors import LawError
from flskew.testing._partitioners import Assigns, check_partitioner
from flskew.testing._shifts import check_shift

__all__ = ["Assigns", "LawError", "check_partitioner", "check_shift"]
