"""How skewed is a split: measures, a report, pictures, and the alpha for a wanted skew."""

from __future__ import annotations

from flskew.skew.measures import (
    MEASURES,
    Measure,
    effective_classes,
    effective_clients,
    gini,
    hellinger,
    jensen_shannon,
    label_information,
    missing_classes,
    total_variation,
)
from flskew.skew.tally import Split, Tally, tally

__all__ = [
    "MEASURES",
    "Measure",
    "Split",
    "Tally",
    "effective_classes",
    "effective_clients",
    "gini",
    "hellinger",
    "jensen_shannon",
    "label_information",
    "missing_classes",
    "tally",
    "total_variation",
]
