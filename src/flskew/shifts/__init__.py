"""Shifts: what clients see differently, such as the noise of a scanner, a rotation, or labels with another meaning."""

from __future__ import annotations

from flskew.shifts._strengths import Ramp, Strength
from flskew.shifts._viewer import RowStreams, Viewer
from flskew.shifts.affine import Affine
from flskew.shifts.base import Chain, FeatureShift, LabelShift, Shift
from flskew.shifts.blur import Blur
from flskew.shifts.channels import Channels
from flskew.shifts.images import ImageShift
from flskew.shifts.noise import Noise
from flskew.shifts.quantize import Quantize
from flskew.shifts.rotate import Rotate
from flskew.shifts.view import View

__all__ = [
    "Affine",
    "Blur",
    "Chain",
    "Channels",
    "FeatureShift",
    "ImageShift",
    "LabelShift",
    "Noise",
    "Quantize",
    "Ramp",
    "Rotate",
    "RowStreams",
    "Shift",
    "Strength",
    "View",
    "Viewer",
]
