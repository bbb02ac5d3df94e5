"""Means, spreads, categories and quantiles of tables at several sites, without collecting their rows."""

from flskew.tables._answer import answer
from flskew.tables._collect import TableError, collect
from flskew.tables._statistics import Column, TableStatistics

__all__ = ["Column", "TableError", "TableStatistics", "answer", "collect"]
