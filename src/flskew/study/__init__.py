"""Studies: who gains from training together, by which method, and how sure that is."""

from flskew.study._figures import What
from flskew.study._splits import Split
from flskew.study.cell import Cell
from flskew.study.method import Method
from flskew.study.results import Results
from flskew.study.study import Study
from flskew.study.table import Table
from flskew.study.task import Task

__all__ = ["Cell", "Method", "Results", "Split", "Study", "Table", "Task", "What"]
