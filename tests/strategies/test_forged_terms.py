"""Reports on local terms and control variates that no honest client sends, and checkpoints that no run has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from tests.strategies.conftest import MakesFederation

from flskew import FedAvg, FedDyn, Scaffold


def start() -> ArrayRecord:
    return ArrayRecord([np.zeros(2, np.float32), np.array([0]), np.zeros(1, np.float32)])


def reply(term: Any = "good", control: Any = "good") -> dict[str, Any]:
    """Return a reply whose term covers the first and the last array."""
    records: dict[str, Any] = {
        "arrays": ArrayRecord([np.ones(2, np.float32), np.array([3]), np.ones(1, np.float32)]),
        "metrics": MetricRecord({"num-examples": 1}),
    }
    good = {"arrays": [0, 2], "local-steps": 4, "state-round": 0}
    if term is not None:
        records["flskew-term"] = (
            ConfigRecord({**good, **(term if isinstance(term, Mapping) else {})})
            if not isinstance(term, MetricRecord)
            else term
        )
    if control is not None:
        change = {"0": np.ones(2, np.float32), "2": np.ones(1, np.float32)}
        given = control if isinstance(control, Mapping) else {}
        arrays = {name: array for name, array in {**change, **given}.items() if array is not None}
        records["flskew-control"] = (
            record_of(arrays) if not isinstance(control, MetricRecord | ConfigRecord) else control
        )
    return records


def record_of(arrays: Mapping[str, Any]) -> ArrayRecord:
    named = ArrayRecord(list(arrays.values()))
    return ArrayRecord(dict(zip(arrays, named.values(), strict=True)))


def reasons(strategy: FedAvg, federation: MakesFederation, bad: Mapping[str, Any]) -> list[str]:
    strategy.start(federation(reply(), reply(), bad), start(), num_rounds=1)
    (entry,) = strategy.history
    assert [each.node_id for each in entry.replies] == [1000, 1001]
    return [failure.reason for failure in entry.failures]


TERMS: dict[str, tuple[Any, str]] = {
    "absent": (None, "has no local term"),
    "another record": (MetricRecord({"arrays": 1}), "must be a ConfigRecord"),
    "no positions": ({"arrays": 3}, "must list positions"),
    "a position beyond the model": ({"arrays": [0, 3]}, "must list positions"),
    "a negative position": ({"arrays": [-1]}, "must list positions"),
    "positions of text": ({"arrays": ["0"]}, "must list positions"),
    "other arrays": ({"arrays": [0]}, "covers other arrays"),
    "negative steps": ({"local-steps": -1}, "must be integers >= 0"),
    "steps of text": ({"local-steps": "4"}, "must be integers >= 0"),
    "a state of no round": ({"state-round": 1.5}, "must be integers >= 0"),
}


@pytest.mark.parametrize("strategy", [FedDyn, Scaffold])
@pytest.mark.parametrize(("term", "reason"), TERMS.values(), ids=TERMS)
def test_a_forged_report_drops_the_reply(
    federation: MakesFederation, strategy: type[FedAvg], term: Any, reason: str
) -> None:
    (text,) = reasons(strategy(fraction_evaluate=0.0), federation, reply(term))
    assert reason in text


CONTROLS: dict[str, tuple[Any, str]] = {
    "absent": (None, "arrays missing: ['0', '2']"),
    "another record": (MetricRecord({"0": 1}), "arrays missing"),
    "an array missing": ({"2": None}, "arrays missing: ['2']"),
    "an array too many": ({"1": np.array([1])}, "unexpected arrays: ['1']"),
    "another shape": ({"0": np.ones(3, np.float32)}, "has shape (3,)"),
    "another dtype": ({"0": np.ones(2)}, "is float64"),
    "NaN": ({"0": np.array([1, np.nan], np.float32)}, "NaN"),
    "infinity": ({"2": np.array([np.inf], np.float32)}, "infinit"),
}


@pytest.mark.parametrize(("control", "reason"), CONTROLS.values(), ids=CONTROLS)
def test_a_forged_control_variate_drops_the_reply(federation: MakesFederation, control: Any, reason: str) -> None:
    (text,) = reasons(Scaffold(fraction_evaluate=0.0), federation, reply(control=control))
    assert text.startswith("control variate: ")
    assert reason in text


def test_arrays_that_no_term_covers_are_averaged_as_ever(federation: MakesFederation) -> None:
    strategy = FedDyn(fraction_evaluate=0.0)
    result = strategy.start(federation(reply(), reply()), start(), num_rounds=1)
    # Covered arrays: the mean, 1, plus the mean of the updates, 1. The integer is averaged alone.
    assert [array.tolist() for array in result.arrays.to_numpy_ndarrays()] == [[2, 2], [3], [2]]


FORGED_STATES: dict[str, dict[str, Any]] = {
    "nodes of text": {"accepted": {"1000": 1}},
    "a round of text": {"accepted": {1000: "1"}},
    "numbers of examples of text": {"examples": {1000: "10"}},
    "an array to leave out without a name": {"left_out": [0]},
    "names in one text": {"left_out": "0"},
    "sums that are no arrays": {"sums": {"0": [0.0, 0.0]}},
    "sums without names": {"sums": [np.zeros(2)]},
    "nothing": {"accepted": None},
}


@pytest.mark.parametrize("strategy", [FedDyn, Scaffold])
@pytest.mark.parametrize("forged", FORGED_STATES.values(), ids=FORGED_STATES)
def test_a_forged_state_in_a_checkpoint_is_refused_before_it_is_used(
    federation: MakesFederation, tmp_path: Path, strategy: type[FedAvg], forged: dict[str, Any]
) -> None:
    class Forges(strategy):  # type: ignore[misc, valid-type]
        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), **forged}

    Forges.__name__ = strategy.__name__
    grid = federation(reply(), reply())
    Forges(fraction_evaluate=0.0).start(grid, start(), 1, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=f"a state that {strategy.__name__} cannot load, .*unexpected values"):
        strategy(fraction_evaluate=0.0).start(grid, start(), 2, checkpoint_dir=tmp_path, resume=True)


@pytest.mark.parametrize("strategy", [FedDyn, Scaffold])
def test_a_subclass_may_remember_more(federation: MakesFederation, tmp_path: Path, strategy: type[FedAvg]) -> None:
    class Counts(strategy):  # type: ignore[misc, valid-type]
        rounds = 0

        def aggregate_train(self, *arguments: Any) -> Any:
            self.rounds += 1
            return super().aggregate_train(*arguments)

        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "rounds": self.rounds}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            super().load_state_dict(state)
            self.rounds = state["rounds"]

    grid = federation(reply(), reply())
    for num_rounds in (1, 3):
        run = Counts(fraction_evaluate=0.0)
        run.start(grid, start(), num_rounds, checkpoint_dir=tmp_path, resume=True)
        assert run.rounds == num_rounds
