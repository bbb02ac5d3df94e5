"""Pictures of a split and of what it does to a federation, to put into a paper.

They need matplotlib, the extra `plot`, which is imported when the first one is drawn. Each draws on a figure of its own
or on the axes it is given, without pyplot, and reads in grey. Where there is no room for what a picture would show of
each partition and class, it shows less, and says so.
"""

from __future__ import annotations

from flskew.plots._accuracy import accuracy
from flskew.plots._bars import bars
from flskew.plots._dots import dots
from flskew.plots._heatmap import heatmap
from flskew.plots._recall import recall
from flskew.plots._sizes import sizes
from flskew.plots._splits import splits

__all__ = ["accuracy", "bars", "dots", "heatmap", "recall", "sizes", "splits"]
