"""The form of queries and replies, known to both sides.

A query is a ConfigRecord "tables" with "ask" ("summary" or "ranks") and, unless every column is asked for, "columns".
A summary has "rows", and per column an entry in each of "columns", "kinds", "counts", "missing", "withheld", "means"
and "m2"; for categorical column i also "categories-i" and "category-counts-i". For ranks, the query has "thresholds-i"
and the reply "ranks-i", the number of values whose key (see `_keys`) is at most each threshold.
"""

from __future__ import annotations

__all__ = [
    "ASK_KEY",
    "COLUMNS_KEY",
    "LARGEST_M2",
    "LARGEST_MEAN",
    "MOST_CATEGORIES",
    "MOST_COLUMNS",
    "MOST_ROWS",
    "RANKS",
    "SUMMARY",
    "TABLES_KEY",
]

TABLES_KEY = "tables"
ASK_KEY = "ask"
COLUMNS_KEY = "columns"
SUMMARY, RANKS = "summary", "ranks"

MOST_COLUMNS = 10_000
"""Maximum number of columns in a reply."""

MOST_CATEGORIES = 1_000
"""Maximum number of categories of a column at one site."""

MOST_ROWS = 2**40
"""Maximum number of rows at one site, so that float64 can count the rows of thousands of sites."""

LARGEST_MEAN, LARGEST_M2 = 1e140, 1e300
"""Bounds on the moments of one site, so that those of all sites stay finite."""
