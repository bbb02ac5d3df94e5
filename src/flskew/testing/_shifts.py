"""The laws of shifts.

Breaking one causes trouble later: a client that sees other data in every epoch or process, or data that change while
other code uses them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from flskew._util.values import fields
from flskew.shifts import Chain, Shift
from flskew.shifts._columns import num_entries, taken
from flskew.shifts._text import parsed
from flskew.testing._containers import arrays_of, frozen, other_containers, same
from flskew.testing._errors import LawError
from flskew.typing import Features, Labels, Rows

__all__ = ["check_shift"]


def check_shift(shift: Shift, features: Features, labels: Labels | None = None, *, num_partitions: int = 3) -> None:
    """Check that a shift obeys the laws, on data of your choice and for each partition.

    - Law 1: a client sees the same data whenever it looks. What it looks at is not changed and may be read-only, and
      global random generators are neither read nor seeded.
    - Law 2: what a client sees of a row depends neither on the other rows of the batch nor on their order. A batch may
      be empty, contain a row twice, and contain any row from 0 to 2^63 - 1.
    - Law 3: a shift prints as the call that makes it. The shift that this call makes, in another process for example,
      is equal and shows the same data; so does a copy.
    - Law 4: `at(0)` shows the data as they are, `at(1)` equals the shift, and only numbers from 0 to 1 are accepted.
    - Law 5: the kind of container, the shapes and the dtypes are kept, as are the names and the index of a table.
      Only strings may become longer.
    - Law 6: partitions that are not in `partitions` see the data as they are, and the others see what they would
      without it.
    - Law 7: the container makes no difference: an array in any memory layout, a mapping and a DataFrame with the same
      columns, a list and an array with the same labels.

    This function starts no other process. To be sure that another process sees the same bytes, test that too.

    Args:
        shift: One of `flskew.shifts`, a chain, or your own.
        features: At least two rows that show what the shift does: an array, a DataFrame, or a mapping from names to
            columns.
        labels: One label per row; None to check features only.
        num_partitions: Number of partitions, >= 1; if strengths are lists, their length.

    Raises:
        LawError: A law is broken. It is an AssertionError, so a test that raises it fails.
        TypeError: `shift` is not a shift.
        ValueError: There are fewer than two rows, or not one label per row.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Affine, Noise
        >>> from flskew.testing import check_shift
        >>> check_shift(
        ...     Affine(gain=[1.0, 1.2]) | Noise(0.1),
        ...     np.ones((6, 8, 8)),
        ...     num_partitions=2,
        ... )
    """
    if not isinstance(shift, Shift):
        raise TypeError(f"shift must be a shift, got {shift!r:.60}; pass an instance, e.g. Noise(0.1)")
    count = num_entries(features)
    if count < 2:
        raise ValueError(f"features must have at least 2 rows, got {count}")
    _check_value(shift)
    _check_severities(shift)
    # The largest number would overflow if a row were counted from 1, for example.
    rows = np.append(np.arange(count - 1) * 7, np.iinfo(np.int64).max)
    for partition_id in range(num_partitions):
        _check_client(shift, _Client("features", features, rows, partition_id, num_partitions))
        if labels is not None:
            _check_client(shift, _Client("labels", np.asarray(labels), rows, partition_id, num_partitions))


class _Client(NamedTuple):
    """One client, and the features or labels that it sees."""

    name: str
    data: Any
    rows: Rows
    partition_id: int
    num_partitions: int

    def sees(self, shift: Shift, data: Any = None, rows: Rows | None = None) -> Any:
        view = shift.view(self.partition_id, self.num_partitions)
        see = view.labels if self.name == "labels" else view.features
        return see(self.data if data is None else data, self.rows if rows is None else rows)

    def broken(self, law: int, what: str) -> LawError:
        return LawError(f"law {law}: partition {self.partition_id} sees other {self.name} {what}")


def _check_client(shift: Shift, client: _Client) -> None:
    seen = _check_purity(shift, client)
    _check_kept(client.data, seen, client.name)
    _check_batches(shift, client, seen)
    if not same(client.sees(parsed(repr(shift))), seen):
        raise client.broken(3, "through the shift that the printed call makes")
    if not same(client.sees(deepcopy(shift)), seen):
        raise client.broken(3, "through a copy of the shift")
    if not same(client.sees(shift.at(0)), client.data):
        raise client.broken(4, "than the data through at(0)")
    _check_partitions(shift, client, seen)
    for container, kind in other_containers(client.data, client.name):
        found = client.sees(shift, container)
        # NumPy makes 64 bits of the integers in a list.
        alike = found.tolist() == seen.tolist() if kind == "a list" else all(map(same, *map(arrays_of, (found, seen))))
        if not alike:
            raise client.broken(7, f"in {kind}")


def _check_value(shift: Shift) -> None:
    try:
        made = parsed(repr(shift))
    except ValueError as error:
        raise LawError(f"law 3: it does not print as a call that makes it: {error}") from None
    if made != shift or hash(made) != hash(shift):
        raise LawError(f"law 3: the call that it prints as, {shift!r:.80}, does not make an equal shift")


def _check_severities(shift: Shift) -> None:
    if shift.at(1) != shift:
        raise LawError(f"law 4: at(1) is {shift.at(1)!r:.80}, not {shift!r:.80}")
    for wrong in (-0.1, 1.1, float("nan")):
        try:
            shift.at(wrong)
        except ValueError:
            continue
        raise LawError(f"law 4: at({wrong}) was accepted; raise a ValueError")


def _check_purity(shift: Shift, client: _Client) -> Any:
    """Return what a client sees."""
    with _global_generators_untouched():
        try:
            seen = client.sees(shift, frozen(client.data))
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise LawError(f"law 1: it changes the {client.name}, which are read-only; change a copy") from error
    kept = deepcopy(seen)
    if not same(client.sees(shift), kept):
        raise client.broken(1, "in a second call")
    client.sees(shift, taken(client.data, slice(None, None, -1)), client.rows[::-1])
    if not same(seen, kept):
        raise LawError(f"law 1: a later call changed the {client.name} that the first one returned")
    return seen


@contextmanager
def _global_generators_untouched() -> Iterator[None]:
    before = _global_state()
    yield
    if _global_state() != before:
        raise LawError("law 1: a global random generator was read or seeded; draw numbers from viewer.streams instead")


def _global_state() -> tuple[object, str]:
    """Return the state of Python's and NumPy's global generators, which changes when they are read or seeded."""
    with np.printoptions(threshold=10_000):
        return random.getstate(), str(np.random.get_state())  # noqa: NPY002


def _check_kept(data: Any, seen: Any, name: str) -> None:
    if isinstance(data, np.ndarray):
        before, after = [data], [seen]
    elif isinstance(data, Mapping):
        if not isinstance(seen, Mapping) or list(seen) != list(data):
            raise LawError(f"law 5: a mapping with the columns {list(data)} became {seen!r:.80}")
        before, after = arrays_of(data), arrays_of(seen)
    else:
        if type(seen) is not type(data) or not (seen.columns.equals(data.columns) and seen.index.equals(data.index)):
            raise LawError(f"law 5: the columns or the index of a table changed, which became {seen!r:.80}")
        before, after = ([table.iloc[:, place] for place in range(data.shape[1])] for table in (data, seen))
    for given, found in zip(before, after, strict=True):
        if type(found) is not type(given):
            raise LawError(f"law 5: {name} of type {type(given).__name__} became {type(found).__name__}")
        longer = found.dtype.kind == given.dtype.kind == "U" and found.dtype.itemsize > given.dtype.itemsize
        if found.shape != given.shape or (found.dtype != given.dtype and not longer):
            raise LawError(
                f"law 5: {name} with shape {given.shape} and dtype {given.dtype} became {found.shape} and {found.dtype}"
            )


def _check_batches(shift: Shift, client: _Client, seen: Any) -> None:
    count = len(client.rows)
    batches = [np.random.default_rng(0).permutation(count), np.array([count - 1, 0, count - 1]), np.arange(0)]
    batches += np.array_split(np.arange(count), 3)
    batches += [np.array([place]) for place in range(min(count, 10))]
    for places in batches:
        rows = client.rows[places]
        if not same(client.sees(shift, taken(client.data, places), rows), taken(seen, places)):
            batch = "another order" if len(places) == count else f"a batch of {len(places)} rows than in all {count}"
            raise client.broken(2, f"in {batch}")


def _check_partitions(shift: Shift, client: _Client, seen: Any) -> None:
    own, others = [client.partition_id], [one for one in range(client.num_partitions) if one != client.partition_id]
    if not same(client.sees(_seen_by(others, shift)), client.data):
        raise client.broken(6, f"than the data, although only {others} are in partitions")
    if all(link.partitions is None for link in shift._links()) and not same(client.sees(_seen_by(own, shift)), seen):
        raise client.broken(6, f"if partitions is {own} than if it is None")


def _seen_by(partitions: Iterable[int], shift: Shift) -> Shift:
    """Return the same shift for other partitions."""
    links = []
    for link in shift._links():
        given = {parameter.name: value for parameter, value in fields(link)}
        if "partitions" not in given:
            raise LawError(f"law 6: {type(link).__name__} lacks the argument partitions; pass it to super().__init__")
        made: Any = type(link)
        links.append(made(**given | {"partitions": partitions}))
    return Chain(*links)
