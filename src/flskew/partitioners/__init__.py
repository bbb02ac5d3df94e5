"""Partitioners, which split a data set among clients, and building blocks for your own."""

from __future__ import annotations

from flskew._split.allocation import apportion, apportion_classes, even_sizes, meet_minimum, normalise
from flskew._split.labels import LabelColumn, read_labels
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.multi_reading import read_multi_labels
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew.partitioners.base import LabelPartitioner, Partitioner
from flskew.partitioners.cross import CrossPartitioner
from flskew.partitioners.dirichlet import DirichletPartitioner
from flskew.partitioners.distribution import DistributionPartitioner
from flskew.partitioners.extended_dirichlet import ExtendedDirichletPartitioner
from flskew.partitioners.iid import IidPartitioner
from flskew.partitioners.inner_dirichlet import InnerDirichletPartitioner
from flskew.partitioners.label_exclusion import LabelExclusionPartitioner
from flskew.partitioners.mixture import MixturePartitioner
from flskew.partitioners.natural_id import GroupedNaturalIdPartitioner, NaturalIdPartitioner
from flskew.partitioners.pachinko import PachinkoPartitioner
from flskew.partitioners.pathological import PathologicalPartitioner
from flskew.partitioners.quantity import QuantityPartitioner
from flskew.partitioners.shard import ShardPartitioner
from flskew.partitioners.sizes import (
    ExponentialPartitioner,
    LinearPartitioner,
    SizePartitioner,
    SquarePartitioner,
)

__all__ = [
    "CrossPartitioner",
    "DirichletPartitioner",
    "DistributionPartitioner",
    "ExponentialPartitioner",
    "ExtendedDirichletPartitioner",
    "GroupedNaturalIdPartitioner",
    "IidPartitioner",
    "InnerDirichletPartitioner",
    "LabelColumn",
    "LabelExclusionPartitioner",
    "LabelPartitioner",
    "LinearPartitioner",
    "MixturePartitioner",
    "MultiLabelColumn",
    "NaturalIdPartitioner",
    "PachinkoPartitioner",
    "Partitioner",
    "PathologicalPartitioner",
    "QuantityPartitioner",
    "ShardPartitioner",
    "SizePartitioner",
    "SquarePartitioner",
    "Streams",
    "apportion",
    "apportion_classes",
    "dirichlet_weights",
    "even_sizes",
    "meet_minimum",
    "normalise",
    "read_labels",
    "read_multi_labels",
]
