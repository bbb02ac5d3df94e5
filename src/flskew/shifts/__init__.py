"""Shifts: what clients see differently, such as the noise of a scanner, a rotation, or labels with another meaning."""

from __future__ import annotations

from flskew.shifts._strengths import Ramp, Strength
from flskew.shifts._viewer import RowStreams, Viewer
from flskew.shifts.affine import Affine
from flskew.shifts.base import Chain, FeatureShift, LabelShift, Shift
from flskew.shifts.blur import Blur
from flskew.shifts.channels import Channels
from flskew.shifts.images import ImageShift
from flskew.shifts.missing import Missing
from flskew.shifts.noise import Noise
from flskew.shifts.quantize import Quantize
from flskew.shifts.relabel import Relabel
from flskew.shifts.rotate import Rotate
from flskew.shifts.shifted_dataset import ShiftedDataset
from flskew.shifts.swap_labels import SwapLabels
from flskew.shifts.view import View

__all__ = [
    "Affine",
    "Blur",
    "Chain",
    "Channels",
    "FeatureShift",
    "ImageShift",
    "LabelShift",
    "Missing",
    "Noise",
    "Quantize",
    "Ramp",
    "Relabel",
    "Rotate",
    "RowStreams",
    "Shift",
    "ShiftedDataset",
    "Strength",
    "SwapLabels",
    "View",
    "Viewer",
]
