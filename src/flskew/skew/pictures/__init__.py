"""Pictures of a split and of what it does to a federation, to put into a paper.

They need matplotlib, the extra `plot`, which is imported when the first one is drawn. Each draws on a figure of its own
or on the axes it is given, without pyplot, and reads in grey. Where there is no room for what a picture would show of
each partition and class, it shows less, and says so.
"""

from __future__ import annotations

from flskew.skew.pictures.accuracy import plot_accuracy
from flskew.skew.pictures.bars import plot_bars
from flskew.skew.pictures.dots import plot_dots
from flskew.skew.pictures.heatmap import plot_heatmap
from flskew.skew.pictures.recall import plot_recall
from flskew.skew.pictures.sizes import plot_sizes
from flskew.skew.pictures.splits import plot_splits

__all__ = ["plot_accuracy", "plot_bars", "plot_dots", "plot_heatmap", "plot_recall", "plot_sizes", "plot_splits"]
