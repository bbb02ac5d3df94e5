"""Studies: what is kept, what is run again, and what is refused before any work."""

from __future__ import annotations

import errno
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import MetricRecord, RecordDict

from flskew import Assignment, DirichletPartitioner, FedAvg, IidPartitioner
from flskew._util import files
from flskew.study import Cell, Study, _jobs
from flskew.study._running import Work, run_cell


class Site:
    def __init__(self, labels: np.ndarray, rate: float) -> None:
        self.labels, self.rate = labels, rate

    def fit(self, parameters: Any, config: dict[str, Any]) -> Any:
        noise = np.random.default_rng(config["seed"]).normal(size=2)
        return [parameters[0] + self.rate * (np.bincount(self.labels, minlength=2) + noise)], len(self.labels), {}


CALLS: list[str] = []


class Majority:
    """Knows the larger of two classes; CALLS is not part of its state, and counts its runs."""

    labels, test_labels = np.arange(40) % 2, np.arange(20) % 2

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = rate

    def initial(self, seed: int) -> Any:
        note("initial")
        return [np.random.default_rng(seed).normal(size=2)]

    def client(self, rows: np.ndarray) -> Any:
        return Site(self.labels[rows], self.rate)

    def evaluate(self, parameters: Any, rows: np.ndarray) -> Any:
        return {"accuracy": float((self.test_labels[rows] == parameters[0].argmax()).mean())}


class _Notes:
    """Keeps notes in a list that a key cannot read."""

    def __reduce__(self) -> Any:
        raise TypeError("notes cannot be copied")

    def __call__(self, what: str) -> None:
        CALLS.append(what)


note = _Notes()
SPLITS: dict[str, Any] = {"iid": IidPartitioner(2), "dirichlet": DirichletPartitioner(3, alpha=0.5)}


def study_of(task: Any = None, splits: Any = SPLITS, methods: Any = None, **options: Any) -> Study:
    options = {"seeds": range(2), "num_rounds": 2, **options}
    return Study(task or Majority(), splits, methods or {"FedAvg": FedAvg()}, **options)


def count(run: Callable[[], object]) -> int:
    """Return how many models were trained."""
    CALLS.clear()
    run()
    return len(CALLS)


def cell_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"))


def test_a_study_runs_every_method_and_both_baselines_on_every_split_with_every_seed(tmp_path: Path) -> None:
    results = study_of().run(tmp_path / "runs" / "digits")
    assert [(cell.split, cell.method, cell.seed) for cell in results.cells] == [
        (split, method, seed)
        for split in ("iid", "dirichlet")
        for seed in (0, 1)
        for method in ("alone", "pooled", "FedAvg")
    ]
    assert len(cell_files(tmp_path / "runs" / "digits")) == 12
    assert results.missing == 0


def test_a_study_resumes_where_it_stopped(tmp_path: Path) -> None:
    study = study_of()
    first = study.run(tmp_path)
    assert count(lambda: study.run(tmp_path)) == 0
    lost = study.results(tmp_path).cells[2]  # FedAvg, one model
    path = next(path for path in cell_files(tmp_path) if Cell.load(path).equals(lost))
    path.unlink()
    (tmp_path / f".{path.name}.0123456789abcdef.tmp").write_bytes(b"left behind by a killed process")
    assert study.results(tmp_path).missing == 1
    assert count(lambda: study.run(tmp_path)) == 3  # twice by the check, and once by the cell
    assert all(mine.equals(again) for mine, again in zip(first.cells, study.run(tmp_path).cells, strict=True))


@pytest.mark.parametrize(
    ("changed", "num_new"),
    [
        pytest.param(
            {"splits": {"other name": SPLITS["iid"], "dirichlet": SPLITS["dirichlet"]}}, 0, id="name of split"
        ),
        pytest.param({"methods": {"other name": FedAvg()}}, 0, id="name of method"),
        pytest.param({"metric": "accuracy", "lower_is_better": True}, 0, id="metric"),
        pytest.param({"seeds": [1, 2]}, 6, id="seed"),
        pytest.param({"splits": {"iid": IidPartitioner(2), "dirichlet": IidPartitioner(4)}}, 6, id="split"),
        pytest.param({"methods": {"FedAvg": FedAvg(), "more": FedAvg(max_update_norm=10.0)}}, 4, id="method"),
        pytest.param({"num_rounds": 3}, 12, id="rounds"),
        pytest.param({"task": Majority(rate=0.2)}, 12, id="task"),
    ],
)
def test_only_what_a_change_affects_is_run_again(tmp_path: Path, changed: dict[str, Any], num_new: int) -> None:
    study_of().run(tmp_path)
    results = study_of(**changed).run(tmp_path)
    assert len(cell_files(tmp_path)) == 12 + num_new
    assert results.missing == 0
    assert {cell.split for cell in results.cells} == set(changed.get("splits", SPLITS))


def test_the_code_of_ones_own_strategy_counts(tmp_path: Path) -> None:
    def strategy(factor: float) -> Any:
        class Mine(FedAvg):
            def _combine(self, judgement: Any, made: Any) -> Any:
                return super()._combine(judgement, made) if factor else (None, None)

        return Mine()

    study_of(methods={"mine": strategy(1.0)}).run(tmp_path)
    study_of(methods={"mine": strategy(2.0)}).run(tmp_path)
    assert len(cell_files(tmp_path)) == 16


def test_results_of_two_machines_merge(tmp_path: Path) -> None:
    study_of(seeds=[0]).run(tmp_path / "a")
    study_of(seeds=[1]).run(tmp_path / "b")
    results = study_of().results(tmp_path / "a", str(tmp_path / "b"))
    assert results.missing == 0
    assert study_of().results(tmp_path / "b").missing == 6


def test_results_without_an_existing_folder_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="digitz"):
        study_of().results(tmp_path / "digitz")
    with pytest.raises(TypeError, match="at least one folder"):
        study_of().results()


def test_one_cell_that_is_run_again_equals_the_kept_one_bit_for_bit(tmp_path: Path) -> None:
    study = study_of()
    for kept in study.run(tmp_path).cells:
        again = study.cell(kept.split, kept.method, kept.seed)
        assert again.equals(kept)
        assert again.versions == kept.versions
    with pytest.raises(KeyError, match="no cell 'iid', 'FedProx', seed 0; splits are 'iid', 'dirichlet', methods"):
        study.cell("iid", "FedProx", 0)


def test_a_damaged_file_is_an_error_before_anything_is_run(tmp_path: Path) -> None:
    study_of().run(tmp_path)
    damaged, lost, *_ = cell_files(tmp_path)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    lost.unlink()
    CALLS.clear()
    for act in (study_of().run, study_of().results):
        with pytest.raises(ValueError, match=rf"{damaged.name} is damaged; delete it to run its cell again"):
            act(tmp_path)
    assert not CALLS


def test_a_full_disk_is_an_error_that_names_the_file_and_loses_no_finished_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = files.write, []

    def fail(file: Any, data: Any) -> None:
        written.append(file.name)
        if len({*written}) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", fail)
        with pytest.raises(OSError, match=r"\.npz was not written: No space left on device") as caught:
            study_of().run(tmp_path)
    assert caught.value.__notes__ == ["in the cell 'iid', 'alone', seed 1; finished cells are kept"]
    assert len(cell_files(tmp_path)) == len([*tmp_path.iterdir()]) == 3
    assert study_of().run(tmp_path).missing == 0


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "create", refuse)
    CALLS.clear()
    with pytest.raises(PermissionError, match=rf"{tmp_path} is not writable: Permission denied"):
        study_of().run(tmp_path)
    assert not CALLS


def test_a_cell_that_another_process_has_finished_meanwhile_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    study_of().run(first)
    ran = []

    def run(work: Work) -> Cell:
        ran.append(work)
        shutil.copytree(first, second, dirs_exist_ok=True)
        return run_cell(work)

    monkeypatch.setattr(_jobs, "run_cell", run)
    assert study_of().run(second).missing == 0
    assert len(ran) == 1


class Stateful(Majority):
    def __init__(self) -> None:
        super().__init__()
        self.models: list[Any] = []

    def evaluate(self, parameters: Any, rows: np.ndarray) -> Any:
        self.models.append(parameters)
        return super().evaluate(parameters, rows)


class NoFit(Majority):
    def client(self, rows: np.ndarray) -> Any:
        return "client"


class NoArrays(Majority):
    def initial(self, seed: int) -> Any:
        return {"weights": 1}


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "state": (Stateful(), {}, ValueError, r"task\.models changes when the task is used.*cached_property"),
    "no fit": (NoFit(), {}, TypeError, r"task\.client must return an object with fit\(parameters, config\), got str"),
    "no arrays": (NoArrays(), {}, TypeError, r"task\.initial must return a list of NumPy arrays, got dict"),
    "metric": (Majority(), {"metric": "f1"}, ValueError, r"metric='f1' is not among those of task\.evaluate, 'accur"),
    "few clients": (Majority(), {"methods": {"FedAvg": FedAvg(min_train_nodes=3)}}, ValueError,
                    r"methods\['FedAvg'\] needs more clients than splits\['iid'\] has, 2; lower min_train_nodes=3"),
    "rows": (Majority(), {"splits": {"a": SPLITS["iid"], "b": Assignment.from_partitions([[0], [1]], [0, 1])}},
             ValueError, r"splits\['b'\], seed 0: it assigns 2 training rows, but the task has 40"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_work_is_refused_before_any_cell_is_run(kind: str, tmp_path: Path) -> None:
    task, options, error, message = REFUSED[kind]
    with pytest.raises(error, match=message):
        study_of(task, **options).run(tmp_path)
    assert not [*tmp_path.iterdir()]


def without(name: str) -> Any:
    class Lacks:
        labels, test_labels = Majority.labels, Majority.test_labels
        initial = client = evaluate = Majority.client

    delattr(Lacks, name)
    return Lacks()


class Empty(Majority):
    test_labels = np.array([], int)


class Scalar(Majority):
    labels = 3  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        *(
            pytest.param(lambda name=name: study_of(without(name)), TypeError, f"task must have {name}, got", id=name)
            for name in ("labels", "test_labels", "initial", "client", "evaluate")
        ),
        pytest.param(lambda: study_of(Empty()), ValueError, r"task\.test_labels is empty", id="no rows"),
        pytest.param(
            lambda: study_of(Scalar()), TypeError, r"task\.labels must contain one label per row", id="scalar"
        ),
        pytest.param(lambda: study_of(seeds=[1, 1]), ValueError, "seeds must be different", id="equal seeds"),
        pytest.param(lambda: study_of(seeds=[]), ValueError, "at least one", id="no seeds"),
        pytest.param(lambda: study_of(num_rounds=0), ValueError, "num_rounds must be at least 1", id="rounds"),
        pytest.param(lambda: study_of(metric=3), TypeError, "metric must be the name of a metric", id="metric"),
        pytest.param(lambda: study_of(splits={}), ValueError, "at least one split", id="no splits"),
        pytest.param(lambda: study_of(splits=[SPLITS]), TypeError, "splits must map names", id="splits"),
        pytest.param(lambda: study_of(methods={"alone": FedAvg()}), ValueError, "name of a baseline", id="reserved"),
    ],
)
def test_the_arguments_of_a_study_are_checked(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


class Diverges(Majority):
    """Loses every reply but that of the first client, and raises at the end if asked to."""

    def client(self, rows: np.ndarray) -> Any:
        return Site(self.labels[rows], 0.1 if 0 in rows else np.nan)


class Shows(Diverges):
    def evaluate(self, parameters: Any, rows: np.ndarray) -> Any:
        if len(rows) == 20:
            logging.getLogger("flwr").warning("a line of the user")
        return super().evaluate(parameters, rows)


def test_a_study_shows_one_bar_and_nothing_of_flowers_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    logging.getLogger("flwr").setLevel(logging.INFO)
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    results = study_of(Shows(), num_rounds=1).run(tmp_path)
    assert sum(int(cell.num_dropped[-1]) for cell in results.cells) > 0
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "study" in shown
    assert "round" not in shown
    assert {record.message for record in caplog.records} == {"a line of the user"}


def test_without_a_terminal_a_study_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_of(num_rounds=1).run(tmp_path)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("package", "jobs"), [("threadpoolctl", 1), ("joblib", 2)])
def test_a_missing_package_is_an_error_that_names_the_extra(
    package: str, jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"studies need {package}, .*pip install 'flskew\[study\]'"):
        study_of().run(tmp_path, jobs=jobs)


class KeepsLoss:
    """Combines metrics, and prints as the call that makes it."""

    def __call__(self, contents: list[RecordDict], weighted_by_key: str) -> MetricRecord:
        return MetricRecord({"loss": 0.0})

    def __repr__(self) -> str:
        return "KeepsLoss()"


def test_a_method_that_does_not_print_as_its_call_is_refused() -> None:
    """Its cells could not be found again, because a function prints with its address."""
    with pytest.raises(ValueError, match=r"methods\['A'\] must print as the call that makes it.*__repr__, and replace"):
        study_of(methods={"A": FedAvg(train_metrics_aggr_fn=lambda contents, key: MetricRecord())})
    assert "KeepsLoss()" in repr(study_of(methods={"A": FedAvg(train_metrics_aggr_fn=KeepsLoss())}).methods["A"])
