"""Labels with another meaning, at some clients: concept shift."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from flskew._util import checks
from flskew.shifts._classes import checked_classes, place_of_each, with_classes
from flskew.shifts._strengths import Strength, as_fraction, checked_severity, scaled, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.base import LabelShift
from flskew.typing import Rows

__all__ = ["Relabel"]


class Relabel(LabelShift):
    """Give classes another label, such as that of another coding system.

    Use it when some clients mean something else by a label (concept shift).

    All labels change at once, so `{1: 7, 7: 1}` swaps two classes. With a `fraction` below 1, it is pair noise: some
    rows of a class get the label of a similar class.

    Args:
        mapping: The new label of each class that changes: integers, strings or booleans, all of one type. Other labels
            do not change. The dtype does not change either, except that strings may become longer.
        fraction: Probability with which a row sees the new label, 0 to 1: one number for all partitions, one per
            partition, or a `Ramp`.
        partitions: The partitions that see the new labels; None for all.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: Labels are not integers, strings or booleans, or not all of the same type.
        ValueError: The mapping is empty, or a fraction is not in 0 to 1.

    References:
        P. Kairouz et al.: "Advances and Open Problems in Federated Learning", Foundations and Trends in Machine
        Learning 14(1-2), 2021, section 3.1, https://arxiv.org/abs/1912.04977: "Same features, different label
        (concept shift)".

    Examples:
        >>> from flskew import Assignment
        >>> from flskew.shifts import Relabel
        >>> assignment = Assignment.from_partitions([[0, 1], [2, 3]])
        >>> assignment = assignment.with_shift(Relabel({1: 7}, partitions=[1]))
        >>> assignment.shift_labels([1, 2, 1, 2]).tolist()
        [1, 2, 7, 2]
    """

    def __init__(
        self,
        mapping: Mapping[int, int] | Mapping[str, str] | Mapping[bool, bool],
        fraction: Strength = 1.0,
        *,
        partitions: Iterable[int] | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__(partitions=partitions)
        if not isinstance(mapping, Mapping):
            raise TypeError(f"mapping must map labels to labels, e.g. {{1: 7}}, got {mapping!r:.40}")
        if not mapping:
            raise ValueError("mapping must contain at least one label, got none")
        # Checked together, because new labels must have the type of the old ones.
        plain = checked_classes("labels in mapping", [*mapping.keys(), *mapping.values()])
        old, new = plain[: len(mapping)], plain[len(mapping) :]
        self._pairs: tuple[tuple[Any, Any], ...] = tuple(sorted(zip(old, new, strict=True)))
        self.fraction = as_fraction("fraction", fraction)
        self.seed = checks.seed(seed)

    @property
    def mapping(self) -> dict[Any, Any]:
        """The new label of each class that changes; a copy."""
        return dict(self._pairs)

    def relabel(self, labels: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Replace the labels that are in the mapping."""
        fraction = strength_at("fraction", self.fraction, viewer)
        if fraction == 0:
            return labels
        old, new = zip(*self._pairs, strict=True)
        places = place_of_each(labels, old, "Relabel")
        chosen = places >= 0
        if fraction < 1:
            chosen &= viewer.streams(self.seed, "relabel").uniform(rows) < fraction
        return with_classes(labels, chosen, places[chosen], new, "Relabel")

    def at(self, severity: float) -> Relabel:
        """Return the same change of fewer rows: fraction times severity."""
        fraction = scaled(self.fraction, checked_severity(severity))
        return Relabel(self.mapping, fraction, partitions=self.partitions, seed=self.seed)
