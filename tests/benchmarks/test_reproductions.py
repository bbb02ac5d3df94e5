"""Long reproductions resume where they stopped, with the same figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from numpy.typing import NDArray

from flskew.synthetic import synthetic

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "reproductions"))

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.torch
def test_an_interrupted_benchmark_resumes_to_the_same_figures(python: str, small_mnist: Path) -> None:
    def bench(name: str, *rounds: int) -> list[str]:
        script = ROOT / "benchmarks" / "reproductions" / "niid_bench.py"
        options = ["--data-dir", small_mnist, "--output", small_mnist / f"{name}.json", "--work", small_mnist / name]
        command = [python, script, *options, "--rounds", *map(str, rounds)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, check=True, capture_output=True, env=environment, text=True).stdout.splitlines()

    def runs(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((small_mnist / f"{name}.json").read_text())["runs"]
        return found

    bench("at-once", 2)
    bench("stopped", 1)
    rest = bench("stopped", 1, 2)
    assert len(rest) == 8
    assert all("round 2: " in line for line in rest)
    assert runs("stopped") == runs("at-once")
    for run in runs("at-once"):
        assert run["rounds"] == 2
        assert len(run["accuracy"]) == 3
    for name in ("fedavg-2-classes-a-client.npz", "fedprox-dirichlet-0.5.npz"):
        with np.load(small_mnist / "at-once" / name) as one, np.load(small_mnist / "stopped" / name) as other:
            assert all(np.array_equal(one[key], other[key]) for key in one.files)


@pytest.mark.torch
def test_a_benchmark_keeps_the_results_of_runs_from_another_machine(
    small_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import niid_bench

    def bench(work: str, split: str) -> list[dict[str, Any]]:
        options = ["--data-dir", str(small_mnist), "--output", str(small_mnist / "x.json"), "--rounds", "1"]
        options += ["--work", str(small_mnist / work), "--splits", split]
        monkeypatch.setattr(sys, "argv", ["niid_bench.py", *options])
        niid_bench.main()
        runs: list[dict[str, Any]] = json.loads((small_mnist / "x.json").read_text())["runs"]
        return runs

    (iid,) = bench("here", "IID")
    assert iid["about"].keys() >= {"date", "flskew", "torch"}
    both = bench("elsewhere", "IID with noise 0.1")
    assert both[0] == iid
    assert [(run["split"], run["rounds"]) for run in both] == [("IID", 1), ("IID with noise 0.1", 1)]


@pytest.mark.torch
def test_with_noise_clients_train_on_what_they_see_and_are_tested_on_it(small_mnist: Path) -> None:
    import niid_bench

    data, test, labels = niid_bench.load(str(small_mnist))
    assignment = niid_bench.SPLITS["IID"](42).assign(labels)
    assert niid_bench.as_seen(data, test, assignment) == (data, test)

    noisy, tested = niid_bench.as_seen(data, test, assignment.with_shift(niid_bench.NOISE["IID with noise 0.1"]))
    for client, rows in enumerate(assignment):
        # Client 0 of ten has no noise, and client 9 has a standard deviation of 0.1.
        added = (noisy.images - data.images)[rows.copy()]
        assert added.std().item() == pytest.approx(0.1 * client / 9, rel=0.02)
        theirs = tested.images[100 * client : 100 * client + 100] - test.images
        assert theirs.std().item() == pytest.approx(0.1 * client / 9, rel=0.02)
    assert (tested.labels.reshape(10, 100) == test.labels).all()


def results(script: ModuleType, output: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", "--rounds", "2", "--output", str(output), *options])
    script.main()
    content: dict[str, Any] = json.loads(output.read_text())
    return content


def check_that_it_resumes(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str
) -> list[dict[str, Any]]:
    """Remove the last run from the results; a run of the script must add it again, and no other."""
    at_once = results(script, folder / "x.json", monkeypatch, *options)
    shortened = {**at_once, "runs": at_once["runs"][:-1]}
    (folder / "x.json").write_text(json.dumps(shortened))
    calls = []
    run = script.run
    monkeypatch.setattr(script, "run", lambda *arguments: calls.append(arguments) or run(*arguments))
    assert results(script, folder / "x.json", monkeypatch, *options) == at_once
    assert len(calls) == 1
    (folder / "x.json").write_text(json.dumps({**at_once, "settings": {"rounds": 3}}))
    with pytest.raises(SystemExit, match=r"other settings: \{'rounds': 3\}; move it away"):
        results(script, folder / "x.json", monkeypatch, *options)
    runs: list[dict[str, Any]] = at_once["runs"]
    return runs


@pytest.mark.torch
def test_rotated_digits_resume_after_the_last_run(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import rotated_mnist

    monkeypatch.setitem(rotated_mnist.SETTINGS, "seeds", [1])
    monkeypatch.setattr(rotated_mnist, "VIEWS", {"rotated": rotated_mnist.VIEWS["rotated"]})
    runs = check_that_it_resumes(rotated_mnist, small_mnist, monkeypatch, "--data-dir", str(small_mnist))
    assert [run["method"] for run in runs] == ["alone", "FedAvg", "FedBN"]
    for run in runs:
        assert np.shape(run["accuracy"]) == (4, 2)


@pytest.mark.torch
def test_fcube_resumes_after_the_last_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcube

    monkeypatch.setitem(fcube.SETTINGS, "seeds", [1])
    monkeypatch.setitem(fcube.SETTINGS, "local_epochs", 1)
    runs = check_that_it_resumes(fcube, tmp_path, monkeypatch)
    assert len(runs) == 2 * 4 + 2
    assert all(len(run["accuracy"]) == 3 for run in runs)
    # With clients of equal size and equally many steps, FedNova is FedAvg.
    first, *_, fourth = [run["accuracy"] for run in runs if (run["model"], run["partition"]) == ("linear", "FCUBE")]
    assert first == fourth


@pytest.fixture
def stragglers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark with one seed and one local epoch or two."""
    import synthetic_stragglers

    monkeypatch.setitem(synthetic_stragglers.SETTINGS, "seeds", [1])
    monkeypatch.setitem(synthetic_stragglers.SETTINGS, "local_epochs", 2)
    return synthetic_stragglers


def test_synthetic_stragglers_resume_after_the_last_run(
    stragglers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = check_that_it_resumes(stragglers, tmp_path, monkeypatch)
    replies = {(run["stragglers"], run["method"]): run["replies"] for run in runs}
    assert len(replies) == 8
    assert all(len(run["loss"]) == len(run["accuracy"]) == 3 for run in runs)
    assert all(run["loss"][0] == pytest.approx(np.log(10), abs=1e-4) for run in runs)
    # Ten clients in each of two rounds, of which FedAvg drops the stragglers.
    assert {count for (_, method), count in replies.items() if method != "FedAvg, stragglers dropped"} == {20}
    assert 20 > replies[0.5, "FedAvg, stragglers dropped"] > replies[0.9, "FedAvg, stragglers dropped"]


def test_the_client_of_synthetic_stragglers_follows_the_gradient(
    stragglers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stragglers.SETTINGS, "batch_size", 1000)
    data = synthetic(1, 1, 2, sizes=[30, 30], seed=1)
    context = Context(1, 1, {"partition-id": 1, "num-partitions": 2}, RecordDict(), {})
    client = stragglers.Client(context, data, seed=1, stragglers=0.0)
    before = np.random.default_rng(0).standard_normal((61, 10)) / 10

    def loss(weights: NDArray[np.float64]) -> float:
        rows = data.train.assignment[1]
        logits = data.train.features[rows] @ weights[:60] + weights[60]
        own = logits[np.arange(len(rows)), data.train.labels[rows]]
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - own))

    (after,), count, metrics = client.fit([before.copy()], {"local-epochs": 1, "server-round": 1})
    assert (count, metrics) == (27, {"local-epochs": 1})
    for place in ((0, 0), (60, 3), (17, 9)):
        step = np.zeros_like(before)
        step[place] = 1e-6
        gradient = (loss(before + step) - loss(before - step)) / 2e-6
        assert after[place] - before[place] == pytest.approx(-0.01 * gradient, rel=1e-4, abs=1e-9)


@pytest.mark.torch
def test_a_benchmark_does_not_resume_with_other_settings(python: str, small_mnist: Path) -> None:
    script = ROOT / "benchmarks" / "reproductions" / "niid_bench.py"
    state = small_mnist / "fedavg-iid.npz"
    np.savez(state, settings=np.array("others"), accuracy=np.array([0.5]), **{"parameters-0": np.zeros(3)})
    command = [python, script, "--data-dir", small_mnist, "--output", small_mnist / "x.json", "--work", small_mnist]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    found = subprocess.run(command, check=False, capture_output=True, env=environment, text=True)
    assert found.returncode == 1
    assert "fedavg-iid.npz has other settings: others; move it away" in found.stderr
    assert not (small_mnist / "x.json").exists()
