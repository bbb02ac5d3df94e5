"""Mistakes of first studies that must not go unnoticed, and data as people have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flskew import Assignment, ClassAware, FedAvg, IidPartitioner
from flskew.study import Method, Study


class Site:
    def __init__(self, labels: Any) -> None:
        self.labels = labels

    def fit(self, parameters: Any, config: Any) -> Any:
        return [parameters[0] + np.bincount(self.labels, minlength=2)], len(self.labels), {}


class Majority:
    """Knows the larger of two classes."""

    labels: Any = np.repeat([0, 1], [8, 12])
    test_labels: Any = np.repeat([0, 1], [2, 3])

    def initial(self, seed: int) -> Any:
        return [np.zeros(2)]

    def client(self, rows: Any) -> Site:
        return Site(np.repeat([0, 1], [8, 12])[rows])

    def evaluate(self, parameters: Any, rows: Any) -> dict[str, float]:
        return {"accuracy": float((np.repeat([0, 1], [2, 3])[rows] == parameters[0].argmax()).mean())}


def study_of(task: Any, **given: Any) -> Study:
    splits = {"iid": IidPartitioner(2)}
    return Study(task, **{"splits": splits, "methods": {"FedAvg": FedAvg()}, "seeds": [0], "num_rounds": 1, **given})


def test_two_names_of_one_split_or_method_both_have_results(tmp_path: Path) -> None:
    splits = {"iid": IidPartitioner(2), "again": IidPartitioner(2)}
    methods = {"FedAvg": FedAvg(), "the same": FedAvg()}
    results = study_of(Majority(), splits=splits, methods=methods).run(tmp_path)
    assert results.missing == 0
    assert len({*tmp_path.iterdir()}) == 3  # alone, pooled and FedAvg, run once
    assert {(cell.split, cell.method) for cell in results.cells} == {
        (split, method) for split in splits for method in ("alone", "pooled", *methods)
    }


def test_initial_parameters_that_the_seed_does_not_determine_are_refused(tmp_path: Path) -> None:
    class Unseeded(Majority):
        generator = np.random.default_rng(0)

        def initial(self, seed: int) -> Any:
            return [vars(Unseeded)["generator"].normal(size=2)]

    with pytest.raises(ValueError, match=r"task\.initial\(0\) returned other parameters the second time"):
        study_of(Unseeded()).run(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_initial_parameters_may_be_a_tuple(tmp_path: Path) -> None:
    class Tuple(Majority):
        def initial(self, seed: int) -> Any:
            return (np.zeros(2),)

    assert study_of(Tuple()).run(tmp_path).missing == 0


def test_a_client_that_draws_from_elsewhere_than_its_seed_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    class Shuffles(Site):
        def fit(self, parameters: Any, config: Any) -> Any:
            trained, count, metrics = super().fit(parameters, config)
            return [trained[0] + rng.random()], count, metrics

    class Task(Majority):
        def client(self, rows: Any) -> Site:
            return Shuffles(self.labels[rows])

    with pytest.raises(ValueError, match=r"client\.fit returned other parameters the second time.*config\['seed'\]"):
        study_of(Task()).run(tmp_path)


def test_a_client_whose_sums_have_another_order_each_time_is_accepted(tmp_path: Path) -> None:
    class Rounds(Site):
        def fit(self, parameters: Any, config: Any) -> Any:
            trained, count, metrics = super().fit(parameters, config)
            return [trained[0] * (1 + 1e-7 * np.random.default_rng().random())], count, metrics

    class Task(Majority):
        def client(self, rows: Any) -> Site:
            return Rounds(self.labels[rows])

    assert study_of(Task()).run(tmp_path).missing == 0


def test_a_class_is_not_a_task() -> None:
    with pytest.raises(TypeError, match=r"task must be an object, got the class Majority; pass Majority\(\)"):
        study_of(Majority)


def test_a_client_that_calls_next_once_too_often_does_not_look_finished(tmp_path: Path) -> None:
    class Exhausted(Site):
        def fit(self, parameters: Any, config: Any) -> Any:
            return super().fit(parameters, config) if len(self.labels) < 20 else next(iter(()))  # pooled

    class Task(Majority):
        def client(self, rows: Any) -> Site:
            return Exhausted(self.labels[rows])

    with pytest.raises(RuntimeError) as caught:
        study_of(Task()).run(tmp_path)
    assert isinstance(caught.value.__cause__, StopIteration)


@pytest.mark.parametrize(
    ("seeds", "error", "message"),
    [
        (5, TypeError, r"seeds must be several integers, e\.g\. range\(5\), got 5"),
        ("12", TypeError, "seeds must be several integers"),
        ([-1], ValueError, "seeds must be at least 0, got -1"),
        ([1.0], TypeError, "seeds must be an integer, got 1.0"),
        ([1, 1], ValueError, "seeds must be different integers"),
    ],
    ids=["a number", "a string", "negative", "a fraction", "twice"],
)
def test_seeds_are_different_integers_from_zero(seeds: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        study_of(Majority(), seeds=seeds)


def test_seeds_may_come_from_numpy_or_a_generator() -> None:
    assert study_of(Majority(), seeds=np.arange(3)).seeds == (0, 1, 2)
    assert study_of(Majority(), seeds=(seed for seed in range(3))).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("initial", "kind"), [(np.zeros(2), "ndarray"), ([[0.0, 0.0]], "list in it"), ({"w": np.zeros(2)}, "dict")]
)
def test_initial_parameters_that_are_not_a_list_of_arrays_are_refused(tmp_path: Path, initial: Any, kind: str) -> None:
    class Other(Majority):
        def initial(self, seed: int) -> Any:
            return initial

    with pytest.raises(TypeError, match=f"task.initial must return a list of NumPy arrays, got {kind}"):
        study_of(Other()).run(tmp_path)


KINDS: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "array": np.array,
    "objects": lambda labels: np.array(labels, dtype=object),
    "pandas strings": pd.Series,
    "categories": lambda labels: pd.Series(labels, dtype="category", index=range(100, 100 + len(labels))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_recall_and_unseen_classes_are_known_whatever_type_labels_have(tmp_path: Path, kind: str) -> None:
    class Words(Majority):
        labels = KINDS[kind](["cat"] * 8 + ["dog"] * 12)
        test_labels = KINDS[kind](["cat"] * 2 + ["dog"] * 3)

    only_cats_and_dogs = Assignment.from_partitions([range(8), range(8, 20)], labels=["cat"] * 8 + ["dog"] * 12)
    results = study_of(Words(), splits={"own": only_cats_and_dogs}).run(tmp_path)
    # 12 dogs are more than 8 cats: the federation always says dog, the first client cat.
    assert results.recall("own").loc["FedAvg"].to_dict() == {"cat": 0, "dog": 1}
    assert results.figures("unseen")[0, :, 0].tolist() == [0, 0.5, 0.5]
    assert results.cells[0].label_counts.tolist() == [[8, 0], [0, 12]]


def test_classes_that_only_training_rows_have_are_not_counted(tmp_path: Path) -> None:
    class More(Majority):
        labels = np.repeat([0, 1, 7], [8, 10, 2])

    splits = {"pair": (IidPartitioner(2).assign(range(20)), IidPartitioner(2).assign(range(5)))}
    (cell, *_) = study_of(More(), splits=splits).run(tmp_path).cells
    assert cell.classes.tolist() == [0, 1]
    assert cell.label_counts.sum(axis=0).tolist() == [8, 10]


def test_a_task_may_change_the_rows_and_the_parameters_that_it_gets(tmp_path: Path) -> None:
    class Careless(Majority):
        def client(self, rows: Any) -> Site:
            np.random.default_rng(0).shuffle(rows)
            return super().client(rows)

        def evaluate(self, parameters: Any, rows: Any) -> dict[str, float]:
            metrics = super().evaluate(parameters, rows)
            rows[:], parameters[0][:] = 0, -1
            return metrics

    careless, careful = (study_of(task, num_rounds=2).run(tmp_path) for task in (Careless(), Majority()))
    assert all(mine.equals(theirs) for mine, theirs in zip(careless.cells, careful.cells, strict=True))


def test_methods_that_need_more_clients_than_a_split_has_are_refused_before_any_cell(tmp_path: Path) -> None:
    study = study_of(Majority(), splits={"one": IidPartitioner(1)})
    with pytest.raises(
        ValueError, match=r"methods\['FedAvg'\] needs more clients than splits\['one'\] has, 1; lower min"
    ):
        study.run(tmp_path)
    assert not [*tmp_path.iterdir()]
    lowered = {"FedAvg": FedAvg(min_available_nodes=1, min_train_nodes=1)}
    assert study_of(Majority(), splits={"one": IidPartitioner(1)}, methods=lowered).run(tmp_path).missing == 0


def test_a_change_of_what_a_strategy_contains_is_another_cell(tmp_path: Path) -> None:
    def averaging(factor: float) -> ClassAware:
        class Mine(ClassAware):
            scale = factor

            def __repr__(self) -> str:
                return "Mine()"

        return Mine(head={"0": 0})

    for factor, num_files in ((1.0, 3), (1.0, 3), (2.0, 4)):  # alone, pooled, and FedAvg with another average
        study_of(Majority(), methods={"FedAvg": FedAvg(averaging=averaging(factor))}).run(tmp_path)
        assert len([*tmp_path.iterdir()]) == num_files


def test_numpy_scalars_in_a_config_are_the_numbers_that_they_print_as() -> None:
    config = {"rate": np.float64(0.1), "epochs": np.int64(3), "nesterov": np.bool_(True)}
    assert repr(Method(FedAvg(), config)) == repr(Method(FedAvg(), {"rate": 0.1, "epochs": 3, "nesterov": True}))


@pytest.mark.parametrize("value", [None, {"a": 1}, [1, "a"]], ids=["None", "a dict", "a mixed list"])
def test_a_config_that_cannot_be_sent_is_an_error_that_names_the_key(value: Any) -> None:
    with pytest.raises(TypeError, match=r"config\['rate'\] must be a number, a string"):
        Method(FedAvg(), {"epochs": 1, "rate": value})


def test_a_split_cannot_have_the_name_of_the_mean_over_splits() -> None:
    with pytest.raises(ValueError, match="'all splits' is the name of the mean over the splits"):
        study_of(Majority(), splits={"all splits": IidPartitioner(2)})
