"""One method on one split with one seed: its figures, and the file that keeps them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._util import archive
from flskew.typing import Figures, LabelCounts, Rows

__all__ = ["Cell"]

_KIND, _VERSION = "study cell", 1


@dataclass(frozen=True, eq=False, repr=False)
class Cell:
    """The figures of one method on one split with one seed.

    A federation and "pooled" train one model; "alone" trains one per client in `trained`. Metrics are what
    `task.evaluate` returned.

    Attributes:
        split: Name of the split.
        method: Name of the method, "alone" or "pooled".
        seed: The seed of the study.
        curves: By metric, (num_rounds + 1,) values on the whole test set, before the first round and after each; for
            "alone", the mean over its models. NaN after a run has ended early. The baselines have fewer rounds if the
            methods sample clients.
        last: By metric, (num_models,) values of each model on the whole test set after the last round.
        own: By metric, (num_clients,) values on each client's own test rows after the last round: of the client's own
            model for "alone", else of the shared model. NaN if a client has no test rows or was not trained, or its run
            ended early.
        recall: (num_models, num_classes) recall of each class in the test set after the last round; NaN if
            `task.evaluate` returns no "accuracy", or the run ended early.
        trained: (num_models,) the partition id of each model's client for "alone"; otherwise, a single -1.
        classes: (num_classes,) the labels of the test set, sorted.
        label_counts: (num_clients, num_classes) training rows of each of these classes in each client.
        num_bytes: (num_rounds + 1,) bytes of all messages and replies so far, of all clients together; NaN for the
            baselines.
        num_dropped: (num_rounds + 1,) replies that were dropped so far.
        error: Why the run ended early, for example because clients diverged; empty if it did not.
        seconds: Wall-clock time.
        fingerprints: The fingerprints of the splits of the training rows and of the test rows.
        versions: The versions of Python and the packages that it ran on, by name.
        names: The name of each client; empty if clients have no names.

    Examples:
        >>> from flskew.study import Cell
        >>> Cell.load("runs/digits/3f….npz")  # doctest: +SKIP
        Cell('dirichlet 0.1', 'FedAvg', seed=0, accuracy=0.913)
    """

    split: str
    method: str
    seed: int
    curves: Mapping[str, Figures]
    last: Mapping[str, Figures]
    own: Mapping[str, Figures]
    recall: Figures
    trained: Rows
    classes: NDArray[Any]
    label_counts: LabelCounts
    num_bytes: Figures
    num_dropped: Figures
    error: str
    seconds: float
    fingerprints: tuple[str, str]
    versions: Mapping[str, str]
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        last = "".join(f", {name}={values[-1]:.3g}" for name, values in list(self.curves.items())[:3])
        return f"Cell({self.split!r}, {self.method!r}, seed={self.seed}{last})"

    @property
    def num_clients(self) -> int:
        """Number of clients of the split."""
        return len(self.label_counts)

    def unseen(self) -> Figures:
        """(num_clients,) mean recall of the classes of which a client has no training rows.

        NaN if a client has rows of all classes, or no rows.
        For "alone", it is the recall of the client's own model, NaN if it was not trained.
        """
        has_rows = self.label_counts.any(axis=1, keepdims=True)
        lacks = np.where((self.label_counts == 0) & has_rows, 1.0, np.nan)
        recall = np.full(self.label_counts.shape, np.nan)
        if self.trained.tolist() == [-1]:
            recall[:] = self.recall
        else:
            recall[self.trained] = self.recall
        values = lacks * recall
        known = ~np.isnan(values)
        sums, counts = np.where(known, values, 0).sum(axis=1), known.sum(axis=1)
        unseen: Figures = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
        return unseen

    def equals(self, other: Cell) -> bool:
        """Return whether two cells have the same figures, bit for bit, of the same rows, classes and seed.

        Names, times and versions may differ.
        """
        about = (self.seed, self.error, self.fingerprints) == (other.seed, other.error, other.fingerprints)
        mine, theirs = self._figures(), other._figures()
        return about and mine.keys() == theirs.keys() and all(_are_same(mine[name], theirs[name]) for name in mine)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the cell as one .npz file, atomically, without pickle and with a checksum.

        Raises:
            OSError: The file cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            "about": np.array(json.dumps({
                "split": self.split, "method": self.method, "seed": self.seed, "error": self.error,
                "seconds": self.seconds, "fingerprints": self.fingerprints, "versions": dict(self.versions),
                "names": self.names,
            })),
        }  # fmt: skip
        archive.write(path, _KIND, _VERSION, arrays | self._figures())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Cell:
        """Read a cell that `save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is damaged, contains something else, or was written by a later version.
        """
        try:
            arrays = archive.read(path, _KIND, _VERSION)
        except archive.DamagedError as error:
            raise ValueError(f"{Path(path)} is damaged; delete it to run its cell again ({error})") from error
        try:
            about = json.loads(str(arrays["about"]))
            fields: dict[str, Any] = {
                **about,
                **{name: tuple(about.get(name, ())) for name in ("fingerprints", "names")},
            }
            for group in _GROUPS:
                names = [name for name in arrays if name.startswith(f"{group}:")]
                fields[group] = {name.removeprefix(f"{group}:"): arrays[name] for name in names}
            fields |= {name: arrays[name] for name in _ARRAYS}
            return cls(**fields)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{Path(path)} is not a valid {_KIND} file: {error!s:.200}") from error

    def _figures(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by the names that they have in a file."""
        figures: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _ARRAYS}
        for group in _GROUPS:
            figures.update((f"{group}:{name}", values) for name, values in getattr(self, group).items())
        return figures


def _are_same(mine: NDArray[Any], theirs: NDArray[Any]) -> bool:
    """Return whether two arrays are the same, bit for bit, so that NaN equals NaN."""
    kinds = [(array.dtype, array.shape, array.tobytes()) for array in (mine, theirs)]
    return kinds[0] == kinds[1]


_ARRAYS = ("recall", "trained", "classes", "label_counts", "num_bytes", "num_dropped")
_GROUPS = ("curves", "last", "own")
