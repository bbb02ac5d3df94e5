"""The page of the benchmark of record has the figures of the JSON files, and says what they show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import figures
import record_page

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {"date": "2026-01-02", "machine": "2 cores of a machine", "python": "3.11.0", "flskew": "0.1.0"}


def run(*curve: float | None, own: list[float | None], size: int = 1000) -> dict[str, Any]:
    return {
        "curve": curve,
        "own": own,
        "recall": [0.5, 0.5],
        "loss": 0.5,
        "bytes": size * (len(curve) - 1),
        "dropped": 0,
    }


def entry(parameter: str = "", **scores: float) -> dict[str, Any]:
    return {"call": "", "parameter": parameter, "chosen": 0.1, "scores": scores}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Two splits of one data set, two methods, two seeds."""
    labels = {
        "alone": [run(0, 0.3, 0.4, own=[0.9, 0.9]), run(0, 0.3, 0.4, own=[0.8, 0.8])],
        "pooled": [run(0, 0.9, 0.9, own=[0.9, 0.9]), run(0, 0.9, 0.9, own=[0.9, 0.9])],
        "FedAvg": [run(0, 0.4, 0.5, own=[0.5, 0.5]), run(0, 0.6, 0.7, own=[0.7, 0.7])],
        "SCAFFOLD": [run(0, 0.5, 0.6, own=[0.5, 0.7], size=2000), run(0, 0.6, 0.9, own=[0.8, 1.0], size=2000)],
    }
    features = {
        "alone": [run(0, 0.5, 0.5, own=[0.5, None]), run(0, 0.5, 0.5, own=[0.5, None])],
        "pooled": [run(0, 0.9, 0.9, own=[0.9, 0.9]), run(0, 0.9, 0.9, own=[0.9, 0.9])],
        "FedAvg": [run(0, 0.1, 0.1, own=[0.7, 0.1]), run(0, 0.1, 0.1, own=[0.6, 0.2])],
        "SCAFFOLD": [run(0, 0.1, 0.1, own=[0.6, 0.3]), run(0, 0.1, None, own=[0.4, 0.2])],
    }
    splits = {
        "labels 0.4": {"kind": "label skew", "score": "global", "severity": {"prior shift": [0.41, 0.42]}},
        "features 0.2": {"kind": "covariate shift", "score": "own", "severity": {"covariate shift": [0.2, 0.2]}},
    }
    setting = {
        "task": "digits", "num_rows": [1437, 360], "hidden": 32, "batch_size": 16, "learning_rate": 0.1,
        "local_epochs": 2, "num_rounds": 2, "fraction_train": 1.0, "tuning_seed": 100,
        "tuning_splits": ["labels 0.4", "features 0.2"], "tuning_rounds": 3,
    }  # fmt: skip
    methods = {"FedAvg": entry(), "SCAFFOLD": entry("alpha", **{"0.1": 0.9, "0.3": 0.8})}
    cells = {
        name: {method: dict(zip("12", pair, strict=True)) for method, pair in runs.items()}
        for name, runs in {"labels 0.4": labels, "features 0.2": features}.items()
    }
    frozen = {"seeds": [1, 2], "tasks": {"digits": {"splits": splits}}}
    (tmp_path / "splits.json").write_text(json.dumps(frozen))
    (tmp_path / "results").mkdir()
    content = {"name": "digits", "about": ABOUT, "setting": setting, "methods": methods, "cells": cells}
    (tmp_path / "results" / "digits.json").write_text(json.dumps(content))
    return tmp_path


def test_the_page_is_up_to_date() -> None:
    kept = record_page.page(record_page.RECORD)
    assert (ROOT / "docs" / "record.md").read_text("utf-8") == kept, "run make pages"


def test_what_the_page_says_it_shows_is_so() -> None:
    files, splits = record_page.load(record_page.RECORD)
    methods, seeds = list(files[0]["methods"]), ["1", "2", "3", "4", "5"]
    compared = record_page.by_kind(splits, methods, seeds)
    frames = {kind: comparison.frame() for kind, comparison in compared.items()}
    gains = {kind: 100 * frame["gain"] for kind, frame in frames.items()}
    better = {kind: set(frame.index[frame["verdict"] == "better"]) for kind, frame in frames.items()}
    # Label skew: FedDyn and SCAFFOLD gain most; FedAdam and FedAvgM nearly as much, with half the traffic of SCAFFOLD.
    assert set(gains["label skew"].nlargest(2).index) == {"FedDyn", "SCAFFOLD"}
    assert {"FedDyn", "SCAFFOLD"} <= better["label skew"]
    assert {"FedAdam", "FedAvgM"} <= better["label skew"]
    assert gains["label skew"][["FedAdam", "FedAvgM"]].min() > gains["label skew"]["SCAFFOLD"] - 1
    cells = next(iter(splits)).cells
    assert cells["FedAvgM"]["1"]["bytes"] == pytest.approx(cells["SCAFFOLD"]["1"]["bytes"] / 2, rel=0.02)
    many = gains["label skew, 100 clients"]
    assert many.idxmax() == "FedDyn"
    assert many["class-aware SCAFFOLD"] > many["SCAFFOLD"] + 1
    # Some of that is not due to skew.
    assert {"FedDyn", "FedAvgM", "FedAdam"} <= better["IID"]
    assert not {"SCAFFOLD", "class-aware FedAvg"} & better["IID"]
    assert gains["IID"][["SCAFFOLD", "class-aware FedAvg"]].abs().max() < 0.1
    assert {"SCAFFOLD", "class-aware FedAvg"} <= better["label skew"]
    # Sizes: nothing gains a point, and FedNova is far worse than FedAvg with some seeds, but not with all.
    assert gains["quantity skew"].max() < 1
    sizes = compared["quantity skew"].splits
    lost = [
        split.score("FedNova", seed) < split.score("FedAvg", seed) - 0.2 for split in sizes for seed in seeds
    ]  # fmt: skip
    assert 0 < sum(lost) < len(lost)
    # Features: the same methods. Concepts: only robust means are better, and everything is far worse than alone.
    assert {"FedDyn", "FedAdam", "FedAvgM"} <= better["covariate shift"]
    assert better["concept shift"] == {"FedMedian", "FedTrimmedAvg"}
    assert gains["concept shift"].idxmax() == "FedMedian"
    assert compared["concept shift"].over_alone()["gain"].max() < -0.2
    # Real sites: alone is as good; SCAFFOLD gains, the optimizers do not.
    for split in compared["real sites"].splits:
        alone = record_page.Comparison([split], methods, seeds).over_alone()
        assert "better" not in set(alone["verdict"])
    assert "SCAFFOLD" in better["real sites"]
    assert gains["real sites"][["FedDyn", "FedAvgM", "FedAdam"]].max() < 0
    # Clients that lack most classes.
    bad = {"FedMedian", "FedTrimmedAvg", "FedAvg, masking", "FedAvg, logit adjustment", "FedAvg, FedLC"}
    lacking = [split for split in splits if split.name in ("labels 0.8, 2 classes", "labels 0.75, Dirichlet")]
    frame = record_page.Comparison(lacking, methods, seeds).frame()
    assert set(frame.index[frame["verdict"] == "worse"]) >= bad
    assert set(frame["gain"].nsmallest(5).index) == bad
    # FedProx: no difference on any split.
    for split in splits:
        row = record_page.Comparison([split], methods, seeds).frame().loc["FedProx"]
        assert row["verdict"] not in ("better", "worse"), split.title


def test_what_the_page_which_strategy_says_is_so() -> None:
    files, splits = record_page.load(record_page.RECORD)
    methods, seeds = list(files[0]["methods"]), ["1", "2", "3", "4", "5"]
    compared = record_page.by_kind(splits, methods, seeds)
    frames = {kind: comparison.frame() for kind, comparison in compared.items()}
    gains = {kind: 100 * frame["gain"] for kind, frame in frames.items()}
    better = {kind: set(frame.index[frame["verdict"] == "better"]) for kind, frame in frames.items()}
    worse = {kind: set(frame.index[frame["verdict"] == "worse"]) for kind, frame in frames.items()}
    labels, many = "label skew", "label skew, 100 clients"

    def curve(kind: str, method: str) -> list[float]:
        """Return the mean gain over FedAvg after each round that all splits of the kind have."""
        pairs = [
            [split.cells[name][seed]["curve"][1:] for name in (method, "FedAvg")]
            for split in compared[kind].splits
            for seed in seeds
        ]
        return [
            100 * fmean(ours[place] - theirs[place] for ours, theirs in pairs)
            for place in range(min(len(ours) for ours, _ in pairs))
        ]

    # The table: FedAvg, class-aware averaging, SCAFFOLD and FedDyn.
    assert gains["IID"].max() < 2
    aware, scaffold = curve(labels, "class-aware FedAvg"), curve(labels, "SCAFFOLD")
    assert min(aware) > 0
    assert max(aware) == max(aware[:3])
    cells = next(iter(splits)).cells
    traffic = {name: cells[name]["1"]["bytes"] / cells["FedAvg"]["1"]["bytes"] for name in methods}
    assert traffic["class-aware FedAvg"] == pytest.approx(1, abs=0.05)
    assert traffic["SCAFFOLD"] == pytest.approx(2, abs=0.1)
    assert traffic["FedDyn"] == pytest.approx(1, abs=0.05)
    lacking = [split for split in splits if split.name in ("labels 0.8, 2 classes", "labels 0.75, Dirichlet")]
    lost = 100 * record_page.Comparison(lacking, methods, seeds).frame()["gain"]
    assert set(lost.nlargest(2).index) == {"SCAFFOLD", "FedDyn"}
    assert lost["SCAFFOLD"] == pytest.approx(lost["FedDyn"], abs=0.5)
    # SCAFFOLD with class-aware averaging.
    both = curve(labels, "class-aware SCAFFOLD")
    assert all(ours > alone for ours, alone in zip(both[:3], scaffold[:3], strict=True))
    assert gains[labels]["class-aware SCAFFOLD"] < gains[labels]["SCAFFOLD"]
    assert gains[many]["class-aware SCAFFOLD"] > gains[many]["SCAFFOLD"]
    # Where each loses, in the order of the page.
    assert len(better[labels]) == 10
    assert all(gains[kind]["class-aware FedAvg"] < gains[kind][["FedDyn", "SCAFFOLD"]].min() for kind in (labels, many))
    for kind in ("IID", "quantity skew", "covariate shift"):
        assert abs(gains[kind]["class-aware FedAvg"]) < 0.2
    assert scaffold[0] == pytest.approx(0, abs=0.01)
    chosen = [(file["methods"]["FedDyn"]["chosen"], list(file["methods"]["FedDyn"]["scores"])) for file in files]
    assert sorted(value for value, _ in chosen) == [0.1] * 3 + [0.3] * 3
    assert all(grid == ["0.03", "0.1", "0.3"] for _, grid in chosen)
    assert "FedDyn" not in better["real sites"] | better["concept shift"]
    behind = [
        split.score("FedNova", seed) < split.score("FedAvg", seed) - 0.05
        for split in splits
        for seed in seeds
        if split.name == "sizes 0.7"
    ]
    assert (sum(behind), len(behind)) == (6, 15)
    assert not any("FedProx" in names for names in better.values())
    losses = {"FedAvg, logit adjustment", "FedAvg, FedLC", "FedAvg, masking"}
    assert not (losses | {"FedAvg, FedRS"}) & better[labels]
    assert lost[list(losses)].max() < -20 < lost["FedAvg, FedRS"]
    assert {"FedMedian", "FedTrimmedAvg"} <= worse[labels]
    for method in ("FedMedian", "FedTrimmedAvg"):
        assert [kind for kind, names in better.items() if method in names] == ["concept shift"]
    assert not {"FedAvgM", "FedAdam", "FedAdagrad", "FedYogi"} & better["real sites"]
    noise = [split for split in splits if split.name == "features 0.3, noise"]
    for split in noise:
        frame = record_page.Comparison([split], methods, seeds).frame()
        assert set(frame.loc[["FedAdam", "FedYogi"], "verdict"]) == {"worse"}
    assert len(noise) == 2


def test_what_the_page_about_losses_for_missing_classes_says_of_the_record_is_so() -> None:
    files, splits = record_page.load(record_page.RECORD)
    methods, seeds = list(files[0]["methods"]), ["1", "2", "3", "4", "5"]
    losses = ["FedAvg, logit adjustment", "FedAvg, FedLC", "FedAvg, masking", "FedAvg, FedRS"]
    skewed = [split for split in splits if split.kind.startswith("label skew")]
    assert len(skewed) == 22
    for split in skewed:
        frame = record_page.Comparison([split], methods, seeds).frame().loc[losses]
        assert "better" not in set(frame["verdict"]), split.title
        if split.name == "labels 0.8, 2 classes":
            assert frame["gain"].iloc[:3].max() < -0.2, split.title
            assert -0.05 < frame["gain"].iloc[3] < 0, split.title


def test_the_page_compares_methods_seed_by_seed(record: Path) -> None:
    text = record_page.page(record)
    lines = text.splitlines()
    assert "The record has 16 runs: 2 methods and two baselines on 2 splits of 1 data" in lines
    assert figures.made_with(ABOUT) in text
    # Own: 40 and 40 with FedAvg; 45 and 30 with SCAFFOLD, whose rank is 1, then 2.
    assert "| FedAvg | 2.0 | 1.5 |" in lines
    assert "| SCAFFOLD | 1.0 | 1.5 |" in lines
    # +10 and +20 points: deviation 7.07, half of the interval 12.706 * 7.07 / sqrt(2) = 63.5; +5 and -10: 95.3
    assert "| SCAFFOLD | +15.0 ± 63.5 | -2.5 ± 95.3 |" in lines
    assert "- **label skew**: No evidence of a difference: SCAFFOLD." in lines
    assert "| SCAFFOLD | 0 | 0 | 2 | 0 of 2 | digits, features 0.2: -2.5 ± 95.3 |" in lines
    assert (
        "| digits, labels 0.4 | 0.41 |  |  |  | 40.0 | 90.0 | 60.0 | SCAFFOLD +15.0 ± 63.5 | SCAFFOLD +15.0 ± 63.5 |"
        in [line.replace("0.42", "0.41") for line in lines]
    )


def test_the_page_compares_clients_with_themselves_alone(record: Path) -> None:
    lines = record_page.page(record).splitlines()
    # 90 and 80 alone; 50 and 70 with FedAvg: -40 and -10. SCAFFOLD: 60 and 90: -30 and +10, deviation 28.3.
    assert (
        "| label skew | 85.0 | -25.0 ± 190.6, no evidence of a difference | "
        "SCAFFOLD: -10.0 ± 254.1, no evidence of a difference | none |" in lines
    )
    # Only the first client was trained alone: 50 and 50; FedAvg 70 and 60; SCAFFOLD 60 and 40.
    assert (
        "| covariate shift | 50.0 | +15.0 ± 63.5, no evidence of a difference | "
        "FedAvg: +15.0 ± 63.5, no evidence of a difference | none |" in lines
    )
    # The worst client: 50 and 70 with FedAvg, 50 and 80 with SCAFFOLD; then 10 and 20, and 30 and 20.
    assert "| SCAFFOLD | +5.0 ± 63.5 | +10.0 ± 127.1 |" in lines


def test_the_page_counts_rounds_and_bytes_to_a_target(record: Path) -> None:
    lines = record_page.page(record).splitlines()
    # 90 % of 50 and of 70 is 45 and 63: FedAvg in round 2 with both seeds, SCAFFOLD in rounds 1 and 2.
    assert "| FedAvg | 2 (100%) |" in lines
    assert "| SCAFFOLD | 1.5 (100%) |" in lines
    # Twice the bytes of a round: 1 * 2 / 2 and 2 * 2 / 2.
    assert "| SCAFFOLD | 1.5 |" in lines


def test_the_page_has_the_chosen_values_and_the_grids(record: Path) -> None:
    assert "| SCAFFOLD, alpha | 0.1, 0.3 | 0.1 |" in record_page.page(record).splitlines()


def test_what_is_not_finished_is_not_on_the_page(record: Path) -> None:
    path = record / "results" / "digits.json"
    content = json.loads(path.read_text("utf-8"))
    del content["cells"]["labels 0.4"]["FedAvg"]["2"]
    content["cells"]["features 0.2"]["FedDyn"] = {"1": content["cells"]["features 0.2"]["FedAvg"]["1"]}
    content["methods"]["FedDyn"] = entry("alpha", **{"0.1": 0.9})
    path.write_text(json.dumps(content))
    ranking = record_page.page(record).partition("## Ranking")[2].partition("##")[0].splitlines()
    assert "|  | covariate shift |" in ranking
    assert "| SCAFFOLD | 1.5 |" in ranking
    assert not any("FedDyn" in line for line in ranking)
