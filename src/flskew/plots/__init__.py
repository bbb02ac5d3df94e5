"""Plot a split, and the training on it, for a notebook or a paper.

Pictures need matplotlib (the extra `plot`), which is imported when the first picture is drawn. Each is drawn on a new
figure or on the axes you pass, without pyplot, and works in shades of grey. If there is no room for every partition and
class, a picture shows fewer of them and says so below.
"""

from __future__ import annotations

from flskew.plots._bars import bars
from flskew.plots._clients import clients
from flskew.plots._dots import dots
from flskew.plots._drift import drift
from flskew.plots._explore import explore
from flskew.plots._features import features
from flskew.plots._heatmap import heatmap
from flskew.plots._metric import accuracy, metric
from flskew.plots._numbers import Fractions, Numbers
from flskew.plots._recall import recall
from flskew.plots._sizes import sizes
from flskew.plots._splits import splits
from flskew.plots._views import views

__all__ = [
    "Fractions",
    "Numbers",
    "accuracy",
    "bars",
    "clients",
    "dots",
    "drift",
    "explore",
    "features",
    "heatmap",
    "metric",
    "recall",
    "sizes",
    "splits",
    "views",
]
