"""What clients report on their local terms, and what the server does with it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import bfloat16_from_float32, is_bfloat16, wide_float
from flskew._arrays.records import Draft, ParametersError, all_finite, numpy_from_array
from flskew._util.threads import in_strips
from flskew._wire import INT64, LOCAL_STEPS_KEY, TERM_ARRAYS_KEY, TERM_KEY, TERM_STATE_ROUND_KEY

if TYPE_CHECKING:
    from flskew.strategies._judgement import Judgement

__all__ = ["TermReport", "changed", "covered_arrays", "read_term", "stretch", "with_terms"]


@dataclass(frozen=True)
class TermReport:
    """What a reply says about the client's local term.

    Attributes:
        arrays: Names of the model's arrays that the term covers.
        steps: Number of optimizer steps, >= 0.
        state_round: The round in which the state was made that the client used; 0 if it began at zero.
    """

    arrays: tuple[str, ...]
    steps: int
    state_round: int


def read_term(content: RecordDict, sent: ArrayRecord) -> TermReport | None:
    """Return the report in a reply; None if it has none.

    Raises:
        ValueError: It is malformed.
    """
    record = content.get(TERM_KEY)
    if record is None:
        return None
    if not isinstance(record, ConfigRecord):
        raise ValueError(f"{TERM_KEY!r} must be a ConfigRecord, got {type(record).__name__}")
    places, names = record.get(TERM_ARRAYS_KEY), list(sent)
    known = range(len(names))
    if not isinstance(places, list) or not all(isinstance(place, int) and place in known for place in places):
        raise ValueError(f"{TERM_ARRAYS_KEY!r} in {TERM_KEY!r} must list positions of the model's {len(names)} arrays")
    steps, state_round = record.get(LOCAL_STEPS_KEY), record.get(TERM_STATE_ROUND_KEY)
    if not _is_count(steps) or not _is_count(state_round):
        raise ValueError(f"{LOCAL_STEPS_KEY!r} and {TERM_STATE_ROUND_KEY!r} in {TERM_KEY!r} must be integers >= 0")
    covered = frozenset(places)
    return TermReport(tuple(name for place, name in enumerate(names) if place in covered), steps, state_round)


def with_terms(judgement: Judgement, strategy: str) -> Judgement:
    """Drop the replies without a report, and those whose term covers other arrays than that of most clients."""
    missing = f"it has no local term, which {strategy} needs; run the client with client_app, and use LocalTerm in fit"
    judgement = judgement.without({place: missing for place, reply in judgement.counted.items() if not reply.term})
    most = covered_arrays(judgement)
    other = "its local term covers other arrays than the terms of most clients"
    return judgement.without(
        {place: other for place, reply in judgement.counted.items() if reply.term and reply.term.arrays != most}
    )


def covered_arrays(judgement: Judgement) -> tuple[str, ...]:
    """Return the names of the arrays that the terms of most accepted replies cover."""
    counted = collections.Counter(reply.term.arrays for reply in judgement.in_order() if reply.term)
    return counted.most_common(1)[0][0] if counted else ()


def changed(arrays: ArrayRecord, names: Iterable[str], change: Callable[[str, NDArray[Any]], None]) -> ArrayRecord:
    """Return a record in which some arrays are replaced; the others are shared. Arrays are processed in parallel.

    Args:
        arrays: The record.
        names: Which arrays to replace.
        change: Given the name and the numbers of an array, half precision as float32, changes the numbers in place.

    Raises:
        ParametersError: A new array is not finite.
    """
    views = [(name, numpy_from_array(arrays[name])) for name in names]

    def replace(strip: range) -> dict[str, Array]:
        return {views[place][0]: _changed(*views[place], change) for place in strip}

    replaced: dict[str, Array] = {}
    for made in in_strips(replace, range(len(views)), sum(view.size for _, view in views)):
        replaced |= made
    return ArrayRecord({name: replaced.get(name, array) for name, array in arrays.items()})


def _changed(name: str, view: NDArray[Any], change: Callable[[str, NDArray[Any]], None]) -> Array:
    draft, wide = Draft(view), wide_float(view)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # results that are not finite are refused below
        if wide is view:
            draft.numbers[...] = view
            change(name, draft.numbers)
        else:
            change(name, wide)
            draft.numbers[...] = bfloat16_from_float32(wide) if is_bfloat16(view.dtype) else wide
    if not all_finite(draft.numbers):
        raise ParametersError(f"array {name!r} holds NaN or infinity")
    return draft.finish()


def stretch(numbers: NDArray[Any], start: NDArray[Any], factor: float) -> None:
    """Multiply the distance of the numbers from `start` by `factor`, in place."""
    numbers -= start
    numbers *= numbers.dtype.type(factor)
    numbers += start


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < INT64.stop
