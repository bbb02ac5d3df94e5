"""Measure how skewed a split is, report it, and find the alpha for a target skew."""

from __future__ import annotations

from flskew.skew.alpha import AlphaEstimate, alpha_for
from flskew.skew.audit import Audit, Content, Finding, Partitions, audit
from flskew.skew.chance import iid_total_variation
from flskew.skew.comparison import Comparison, compare
from flskew.skew.features import FeatureReport, FeatureSkew, Kind, Table, feature_report
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
from flskew.skew.report import Report, report
from flskew.skew.tally import Split, Tally, tally

__all__ = [
    "MEASURES",
    "AlphaEstimate",
    "Audit",
    "Comparison",
    "Content",
    "FeatureReport",
    "FeatureSkew",
    "Finding",
    "Kind",
    "Measure",
    "Partitions",
    "Report",
    "Split",
    "Table",
    "Tally",
    "alpha_for",
    "audit",
    "compare",
    "effective_classes",
    "effective_clients",
    "feature_report",
    "gini",
    "hellinger",
    "iid_total_variation",
    "jensen_shannon",
    "label_information",
    "missing_classes",
    "report",
    "tally",
    "total_variation",
]
