"""Synthetic data sets of the literature, with the partition that they come with."""

from __future__ import annotations

from flskew.synthetic._data import FederatedData
from flskew.synthetic.cube import FcubeData, fcube
from flskew.synthetic.logistic import SyntheticData, synthetic

__all__ = ["FcubeData", "FederatedData", "SyntheticData", "fcube", "synthetic"]
