"""A cell in its file, and whether two agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flskew.study import Cell

CELL = Cell(
    split="dirichlet",
    method="FedAvg",
    seed=3,
    curves={"accuracy": np.array([0.1, 0.5, np.nan]), "loss": np.array([2.0, 1.0, np.nan])},
    last={"accuracy": np.array([np.nan]), "loss": np.array([np.nan])},
    own={"accuracy": np.array([0.5, np.nan]), "loss": np.array([1.0, np.nan])},
    recall=np.array([[0.25, 0.75, 0.5]]),
    trained=np.array([-1]),
    classes=np.array(["cat", "cow", "dog"]),
    label_counts=np.array([[3, 0, 0], [1, 2, 1]]),
    num_bytes=np.array([0.0, 100.0, 200.0]),
    num_dropped=np.array([0.0, 1.0, 3.0]),
    error="round 2: everybody diverged",
    seconds=1.5,
    fingerprints=("a" * 32, "b" * 32),
    versions={"numpy": "2.0.0"},
)


def test_a_cell_that_is_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    CELL.save(tmp_path / "cell.npz")
    loaded = Cell.load(tmp_path / "cell.npz")
    assert loaded.equals(CELL)
    names = ("split", "method", "seed", "error", "seconds", "fingerprints", "versions")
    assert [getattr(loaded, name) for name in names] == [getattr(CELL, name) for name in names]
    assert repr(loaded) == "Cell('dirichlet', 'FedAvg', seed=3, accuracy=nan, loss=nan)"


DIFFERENT = {
    "last bit": {"recall": np.nextafter(CELL.recall, 1)},
    "sign of zero": {"num_bytes": np.array([-0.0, 100.0, 200.0])},
    "dtype": {"recall": CELL.recall.astype(np.float32)},
    "shape": {"trained": np.array([[-1]])},
    "metric": {"own": {"accuracy": CELL.own["accuracy"]}},
    "curve": {"curves": {**CELL.curves, "loss": np.zeros(3)}},
    "last score": {"last": {**CELL.last, "loss": np.array([2.0])}},
    "seed": {"seed": 4},
    "rows": {"fingerprints": ("a" * 32, "c" * 32)},
    "error": {"error": ""},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_cells_differ_in(name: str) -> None:
    assert not CELL.equals(replace(CELL, **DIFFERENT[name]))  # type: ignore[arg-type]


def test_cells_agree_whatever_they_are_called_and_however_long_they_took() -> None:
    assert CELL.equals(replace(CELL, split="other", method="mine", seconds=9.0, versions={}))


def test_a_damaged_file_is_an_error_that_names_it_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "cell.npz"
    CELL.save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cell\.npz is damaged; delete it to run its cell again"):
        Cell.load(path)


def test_a_client_without_rows_has_seen_nothing_and_misses_nothing() -> None:
    empty = replace(CELL, label_counts=np.array([[0, 0, 0], [0, 5, 0]]))
    np.testing.assert_array_equal(np.isnan(empty.unseen()), [True, False])


def test_unseen_is_the_mean_recall_of_the_classes_that_a_client_lacks() -> None:
    # Client 0 lacks cows and dogs, (0.75 + 0.5) / 2; client 1 lacks no class.
    np.testing.assert_array_equal(CELL.unseen(), [0.625, np.nan])
    alone = replace(CELL, method="alone", trained=np.array([0]), recall=np.array([[1.0, 0.0, 0.5]]))
    np.testing.assert_array_equal(alone.unseen(), [0.25, np.nan])
