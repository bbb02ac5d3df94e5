"""The calls in the tables of docs/start/other-libraries.md exist, and split a data set."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import flskew
from flskew import shifts, synthetic

PAGE = Path(__file__).resolve().parent.parent / "docs" / "start" / "other-libraries.md"
LABELS = np.arange(6000) % 10
ROW = re.compile(r"^\| .* \| (.*) \|$", re.MULTILINE)
CALL = re.compile(r"`([A-Z]\w+\([^`]*\))`")
# What the letters on the page stand for.
NAMES = {
    **{name: getattr(flskew, name) for name in flskew.__all__},
    **{name: getattr(shifts, name) for name in shifts.__all__},
    "synthetic": synthetic,
    "labels": LABELS,
    "n": 20,
    "sizes": [300] * 20,
    "table": np.ones((10, 20)) / 20,
    "group_size": 2,
    **dict.fromkeys("abms", 0.5),
    "k": 2,
}


def calls() -> list[str]:
    """Find the complete calls in the right columns; "..." stands for something of the user's."""
    found = [call for row in ROW.findall(PAGE.read_text("utf-8")) for call in CALL.findall(row)]
    return sorted({call for call in found if "..." not in call})


def test_the_page_has_calls() -> None:
    assert len(calls()) >= 15


@pytest.mark.parametrize("call", calls())
def test_each_call_on_the_page_makes_a_partitioner_or_a_strategy(call: str) -> None:
    numbers = NAMES | {"s": 100} if "Shard" in call else NAMES  # shards instead of a strength
    made = eval(call, {}, numbers)
    if isinstance(made, flskew.partitioners.Partitioner) and "NaturalId" not in call:
        split = made.assign(LABELS)
        assert (len(split), split.sizes.sum()) == (20, 6000)
    else:
        assert "NaturalId" in call or hasattr(made, "start")
