"""The table behind `skew.advise` has the record's figures, and the advice is evaluated on splits it has not seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import advice_page
import advice_table

from flskew.skew import _record


def test_the_packaged_table_is_the_one_made_from_the_committed_record() -> None:
    assert advice_table.TABLE.read_text("utf-8") == advice_table.text(advice_table.content())


def test_the_packaged_table_is_small() -> None:
    assert advice_table.TABLE.stat().st_size < 60_000


def test_what_the_docs_say_of_the_advice_holds_for_the_record() -> None:
    """The docstring of `skew.advise` and docs/which-strategy.md."""
    text = advice_page.section()
    # Without the split, and without the data set.
    assert text.count("Against always FedAvg: the advice is better") == 2
    assert text.count("Against always the overall best: no evidence of a difference") == 2


SEVERITY = {"prior shift": [0.2, 0.4], "quantity skew": [0.1, 0.1], "covariate shift": [0.3, 0.5]}


def cells(method: str, *runs: tuple[float | None, list[float | None]]) -> dict[str, Any]:
    """Return the cells of a method: for each seed, the last accuracy and those of the clients."""
    seeds = {
        str(seed): {"curve": [0.1, last], "own": own, "recall": [0.5, 0.5]} for seed, (last, own) in enumerate(runs, 1)
    }
    return {method: seeds}


def only_split(path: Path, score: str, kind: str, **methods: Any) -> _record.MeasuredSplit:
    """Write a record of one split, and return the split as `skew.advise` reads it."""
    measured = {
        "kind": kind, "score": score, "clients": 10, "severity": SEVERITY, "effective_clients": [0.9, 0.8],
    }  # fmt: skip
    frozen = {"version": 3, "seeds": [1, 2], "tasks": {"digits": {"splits": {"some": measured}}}}
    setting = {"task": "digits", "num_rounds": 1, "fraction_train": 1.0, "metric": "accuracy"}
    made = {"call": "Method(strategy=FedAvg(seed=42), config={})", "parameter": "", "chosen": 0.0}
    results = {
        "version": 3, "name": "digits", "setting": setting,
        "methods": {name: made for name in methods if name != "alone"},
        "cells": {"some": {name: runs for method in methods for name, runs in cells(method, *methods[method]).items()}},
    }  # fmt: skip
    (path / "results").mkdir()
    (path / "splits.json").write_text(json.dumps(frozen))
    (path / "results" / "digits.json").write_text(json.dumps(results))
    (split,) = _record.record_of(json.loads(advice_table.text(advice_table.content(path)))).splits
    return split


FEDAVG: list[tuple[float | None, list[float | None]]] = [(0.8, [0.7, 0.9]), (0.9, [0.8, None])]
OTHER: list[tuple[float | None, list[float | None]]] = [(0.85, [0.9, 0.9]), (None, [0.9, None])]


def gains(split: _record.MeasuredSplit) -> dict[str, list[float]]:
    return {method: values.tolist() for method, values in split.gains.items()}


def test_gains_are_points_above_fedavg_with_the_same_seed(tmp_path: Path) -> None:
    split = only_split(tmp_path, "global", "label skew", FedAvg=FEDAVG, other=OTHER, alone=OTHER)
    # 85 - 80; the model of the second seed is not finite and counts 0.
    assert gains(split) == {"other": [5.0, -90.0]}
    # Two classes: the largest total variation is 1/2. Features differ because labels do.
    assert split.position == (0.6, 0.85, 0.0, 0.0, 10)
    assert split.total_variation == pytest.approx(0.3)


def test_where_clients_see_their_own_data_it_is_the_mean_over_clients_and_alone_is_kept(tmp_path: Path) -> None:
    split = only_split(tmp_path, "own", "covariate shift", FedAvg=FEDAVG, other=OTHER, alone=FEDAVG)
    # 90 - (70 + 90) / 2, and 90 - 80 of the only client with test rows.
    assert gains(split) == {"alone": [0.0, 0.0], "other": [10.0, 10.0]}
    assert split.position == (0.6, 0.85, 0.4, 0.0, 10)


def test_a_method_without_all_seeds_is_left_out(tmp_path: Path) -> None:
    split = only_split(tmp_path, "global", "label skew", FedAvg=FEDAVG, other=OTHER[:1], more=OTHER)
    assert list(split.gains) == ["more"]


@pytest.mark.parametrize(
    ("made", "parameter", "chosen", "expected"),
    [
        ("FedAvg(fraction_train=0.1, seed=42)", "", 0.0, "FedAvg()"),
        ("FedProx(fraction_train=0.1, proximal_mu=0.001, seed=42)", "mu", 0.001, "FedProx(proximal_mu=0.001)"),
        ("FedDyn(seed=42)", "alpha", 0.1, "FedDyn(alpha=0.1)"),
        ("FedDyn(seed=42, averaging=ClassAware())", "alpha", 0.1, "FedDyn(alpha=0.1, averaging=ClassAware())"),
        ("Checked(FedAdam(eta=0.3))", "eta", 0.3, "Checked(FedAdam(eta=0.3))"),
        ("Checked(FedAdam())", "eta", 0.1, "Checked(FedAdam(eta=0.1))"),
    ],
)
def test_a_call_has_the_hyper_parameter_and_nothing_of_the_study(
    made: str, parameter: str, chosen: float, expected: str
) -> None:
    entry = {"call": f"Method(strategy={made}, config={{}})", "parameter": parameter, "chosen": chosen}
    assert advice_table.call(entry) == expected


def test_a_loss_is_part_of_the_call() -> None:
    made = "Method(strategy=FedAvg(seed=42), config={'loss': 'fedlc', 'strength': 0.5})"
    entry = {"call": made, "parameter": "tau", "chosen": 0.5}
    assert advice_table.call(entry) == "FedAvg() with LabelPrior.fedlc(0.5)"
    entry = {"call": "Method(strategy=FedAvg(seed=42), config={'loss': 'masking'})", "parameter": "", "chosen": 0.0}
    assert advice_table.call(entry) == "FedAvg() with LabelPrior.masking()"


def measured(data: str, name: str, labels: float, **gains: float) -> dict[str, Any]:
    """Return a split on which every seed gains nearly as much."""
    seeds = {method: [gain, gain + 0.1, gain - 0.1, gain, gain] for method, gain in gains.items()}
    return {
        "setting": data, "name": name, "kind": "label skew", "is_own": False, "position": [labels, 1.0, 0.0, 0.0, 10],
        "gains": [seeds["SCAFFOLD"], seeds["FedDyn"]],
    }  # fmt: skip


def record() -> _record.Record:
    """Two pairs of splits that are alike, and one that is far from all."""
    calls = {name: f"{name}()" for name in ("FedAvg", "SCAFFOLD", "FedDyn")}
    setting = {"num_classes": 2, "fraction_train": 1.0, "metric": "accuracy", "num_rounds": 1, "calls": calls}
    return _record.record_of(
        {
            "version": 1,
            "methods": ["SCAFFOLD", "FedDyn"],
            "settings": {"one": {**setting, "data": "one"}, "two": {**setting, "data": "two"}},
            "splits": [
                measured("one", "a", 0.1, SCAFFOLD=1.0, FedDyn=3.0),
                measured("one", "b", 0.2, SCAFFOLD=2.0, FedDyn=-1.0),
                measured("two", "c", 0.6, SCAFFOLD=5.0, FedDyn=4.0),
                measured("one", "d", 0.7, SCAFFOLD=9.0, FedDyn=7.0),
                measured("two", "e", 1.0, SCAFFOLD=-3.5, FedDyn=-2.0),
            ],
        }
    )


def test_regret_is_what_the_advice_from_the_other_splits_costs() -> None:
    found = advice_page.outcomes(record(), advice_page.advised, by_data=False)
    assert [one.method for one in found] == ["SCAFFOLD", "FedDyn", "SCAFFOLD", "SCAFFOLD", None]
    # 3 - 1; 2 - (-1); the best; the best; FedAvg, the best.
    assert [one.regret for one in found] == pytest.approx([2, 3, 0, 0, 0])
    assert [one.gain for one in found] == pytest.approx([1, -1, 5, 9, 0])


def test_advice_on_another_data_set_sees_no_split_of_it() -> None:
    found = advice_page.outcomes(record(), advice_page.advised, by_data=True)
    assert [one.method for one in found] == [None, None, "SCAFFOLD", "SCAFFOLD", None]
    assert [one.regret for one in found] == pytest.approx([3, 2, 0, 0, 0])


def test_the_overall_best_has_the_largest_mean_on_the_other_splits() -> None:
    found = advice_page.outcomes(record(), advice_page.overall_best, by_data=False)
    # The sums of SCAFFOLD and FedDyn are 13.5 and 11 on all splits, and 11.5 and 12 without the second.
    assert [one.method for one in found] == ["SCAFFOLD", "FedDyn", "SCAFFOLD", "SCAFFOLD", "SCAFFOLD"]
    assert [one.regret for one in found] == pytest.approx([2, 3, 0, 0, 3.5])


def test_the_section_compares_regrets_with_intervals() -> None:
    text = advice_page.section(record())
    # Advice 2, 3, 0, 0, 0; FedAvg 3, 2, 5, 9, 0; the differences:
    ours, less = [2, 3, 0, 0, 0], [-1, 1, -5, -9, 0]

    def shown(values: list[int], sign: str = "") -> str:
        half = stats.t.interval(0.95, 4, scale=stats.sem(values))[1]
        return f"{sum(values) / 5:{sign}.1f} ± {half:.1f}"

    row = next(line for line in text.splitlines() if line.startswith("| all |"))
    assert row.split(" | ")[1:3] == ["4 of 5", shown(ours)]
    assert row.split(" | ")[5] == shown(less, "+")
    assert f"Against always FedAvg: no evidence of a difference ({shown(less, '+')} points)." in text
    assert (
        "On 4 splits, it recommends a strategy other than FedAvg. This strategy is better than FedAvg on 3 of" in text
    )


def test_a_single_split_of_a_kind_has_no_interval() -> None:
    alone = _record.Record(1, record().splits[:1])
    assert "| all | 0 of 1 | 3.0 | 3.0 | 3.0 | +0.0 | +0.0 |" in advice_page.section(alone)
