"""Measure how skewed a split is, report it, and find the alpha for a target skew."""

from __future__ import annotations

from flskew.skew.advice import Advice, advise
from flskew.skew.alpha import AlphaEstimate, alpha_for
from flskew.skew.audit import Audit, Content, Finding, Partitions, audit
from flskew.skew.chance import iid_total_variation
from flskew.skew.comparison import Comparison, compare
from flskew.skew.features import FeatureReport, FeatureSkew, Kind, Table, feature_report
from flskew.skew.kinds import KindsReport, SkewKind, kinds
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
from flskew.skew.seen_distances import feature_distance, label_disagreement
from flskew.skew.severity import SeverityEstimate, ShiftMeasure, severity_for
from flskew.skew.tally import Split, Tally, tally

__all__ = [
    "MEASURES",
    "Advice",
    "AlphaEstimate",
    "Audit",
    "Comparison",
    "Content",
    "FeatureReport",
    "FeatureSkew",
    "Finding",
    "Kind",
    "KindsReport",
    "Measure",
    "Partitions",
    "Report",
    "SeverityEstimate",
    "ShiftMeasure",
    "SkewKind",
    "Split",
    "Table",
    "Tally",
    "advise",
    "alpha_for",
    "audit",
    "compare",
    "effective_classes",
    "effective_clients",
    "feature_distance",
    "feature_report",
    "gini",
    "hellinger",
    "iid_total_variation",
    "jensen_shannon",
    "kinds",
    "label_disagreement",
    "label_information",
    "missing_classes",
    "report",
    "severity_for",
    "tally",
    "total_variation",
]
