"""A program that turns NumPy's floating-point errors and all warnings into exceptions can use every part of flskew.

`np.seterr(all="raise")` is a common way to find where NaN comes from. flskew relies on numbers that underflow to 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

from flskew import (
    ClassAware,
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    LocalGrid,
    Scaffold,
    client_app,
    plots,
    skew,
)
from flskew._arrays.bfloat16 import bfloat16_from_float32
from flskew._arrays.casting import narrowed, widened
from flskew._arrays.weighted_mean import weighted_mean
from flskew.client import LocalTerm, sklearn
from flskew.client._arrays import Slot, fit_into
from flskew.partitioners import (
    DirichletPartitioner,
    DistributionPartitioner,
    ExtendedDirichletPartitioner,
    GroupedNaturalIdPartitioner,
    InnerDirichletPartitioner,
    NaturalIdPartitioner,
    PachinkoPartitioner,
    Partitioner,
    QuantityPartitioner,
    apportion,
    normalise,
)
from flskew.shifts import Shift
from flskew.testing import check_partitioner

from .partitioners.cases import CASES, Case
from .shifts.cases import CASES as SHIFTS
from .shifts.cases import NUM_PARTITIONS

LABELS = [row % 5 for row in range(200)]
SMALLEST, LARGEST = 5e-324, 1.7e308


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    with np.errstate(all="raise"):  # pytest turns warnings into errors already
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_partitioner_obeys_its_laws(case: Case) -> None:
    check_partitioner(case.make(4, LABELS, 0), LABELS, drops_rows=case.drops)


@pytest.mark.parametrize("partitioner", [NaturalIdPartitioner("x"), GroupedNaturalIdPartitioner("x", 2)], ids=repr)
def test_natural_splits_obey_their_laws(partitioner: NaturalIdPartitioner) -> None:
    check_partitioner(partitioner, LABELS)


@pytest.mark.parametrize("strength", [SMALLEST, 1e-310, 1e-12, 1e-3, 0.5, LARGEST])
@pytest.mark.parametrize(
    "make",
    [
        lambda strength: DirichletPartitioner(4, alpha=strength),
        lambda strength: DirichletPartitioner(4, alpha=[strength, 1.0, strength, 2.0], min_partition_size=0),
        lambda strength: DirichletPartitioner(4, alpha=strength, self_balancing=True),
        lambda strength: InnerDirichletPartitioner([50, 60, 70, 20], alpha=strength),
        lambda strength: ExtendedDirichletPartitioner(4, alpha=strength),
        lambda strength: PachinkoPartitioner(4, {label: label % 2 for label in range(5)}, alpha=strength),
        lambda strength: PachinkoPartitioner(4, {label: label % 2 for label in range(5)}, beta=strength),
        lambda strength: QuantityPartitioner(4, alpha=strength),
        lambda strength: QuantityPartitioner(4, sigma=strength),
        lambda strength: QuantityPartitioner(4, exponent=strength),
        lambda strength: DistributionPartitioner([[strength, 1e-3, 0.0, 0.0]] * 5, 4),
    ],
)
def test_any_strength_of_skew_can_be_drawn(make: Any, strength: float) -> None:
    partitioner: Partitioner = make(strength)
    assert sum(partitioner.assign(LABELS).sizes) <= 200


def test_the_building_blocks_take_numbers_of_any_size() -> None:
    assert normalise(np.array([[LARGEST, -LARGEST, 0.0]])).tolist() == [[1.0, 0.0, 0.0]]
    assert apportion(np.array([[SMALLEST, 1e-310, 1.0]]), np.array([7]), np.array([0.5])).tolist() == [[0, 0, 7]]
    with pytest.raises(ValueError, match="shares must be finite"):
        apportion(np.array([[LARGEST, LARGEST]]), np.array([7]), np.array([0.5]))


SPLITS = {
    "one class each": np.eye(4, dtype=int) * 100,
    "one class": np.array([[3], [200]]),
    "an empty partition": np.array([[1, 2], [0, 0], [5, 0]]),
    "sizes far apart": np.array([[1, 0, 2**50], [2**40, 1, 1]]),
    "Dirichlet": np.array([[40, 0, 59], [39, 60, 0], [0, 61, 59]]),
}
every_split = pytest.mark.parametrize("counts", SPLITS.values(), ids=SPLITS)


@every_split
def test_every_split_is_measured(counts: Any) -> None:
    report = skew.report(counts)
    assert str(report)
    assert report.to_markdown()
    assert report.to_json()
    assert len(report.to_frame())
    assert all(np.isfinite(measure(counts)) for measure in skew.MEASURES.values())
    assert skew.iid_total_variation(counts) >= 0


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("shift", [case.shift for case in SHIFTS if "images" in case.kinds], ids=repr)
def test_every_shift_takes_tiny_numbers(shift: Shift, dtype: str) -> None:
    tiny = np.full((3, 5, 6, 3), np.finfo(dtype).smallest_subnormal, dtype)
    for partition_id in range(NUM_PARTITIONS):
        assert shift.view(partition_id, NUM_PARTITIONS).features(tiny, range(3)).dtype == dtype


def test_splits_are_compared_and_an_alpha_is_found() -> None:
    assert str(skew.compare(SPLITS))
    assert skew.alpha_for(0.5, LABELS, 4, num_draws=5).alpha > 0


def test_features_of_any_size_are_compared() -> None:
    split = DirichletPartitioner(4, alpha=0.5).assign(LABELS)
    for extremes in ([SMALLEST, 1e-310, 0.0, LARGEST], [-LARGEST, LARGEST], [SMALLEST, 0.0], [1.0], [np.nan]):
        report = skew.feature_report(np.array(extremes * (200 // len(extremes))), split)
        assert 0 <= report.columns[0].distance <= 1
        assert str(report)


@every_split
@pytest.mark.parametrize("plot", [plots.dots, plots.heatmap, plots.bars, plots.sizes])
def test_every_split_is_drawn(plot: Any, counts: Any) -> None:
    figure = plot(counts)
    figure.canvas.draw()


def test_every_recall_and_accuracy_is_drawn() -> None:
    fractions = np.array([[0.0, SMALLEST, 0.5], [1.0, 1e-310, np.nan]])
    for figure in (plots.recall(fractions), plots.accuracy(fractions, central=[0.1, SMALLEST])):
        figure.canvas.draw()


# Numbers that are tiny in each dtype, or become so on the way.
ARRAYS = [
    np.array([1e-40, 3e38, 1.0], np.float32),
    np.array([SMALLEST, 1e308, 1.0]),
    np.array([6e-8, 65000, 1.0], np.float16),
    np.array([1e-40 + 1e-40j, 1.0], np.complex64),
    np.array([1, -(2**62)]),
    np.array([True, False]),
]


def test_the_mean_of_models_with_tiny_numbers_is_taken() -> None:
    models = [[*ARRAYS, bfloat16_from_float32(np.array([1e-40, 3e38], np.float32))]] * 3
    means = [weighted_mean([[model[index]] for model in models], [1, 3, 5])[0] for index in range(len(models[0]))]
    with np.errstate(all="ignore"):
        for mean, array in zip(means, ARRAYS, strict=False):
            np.testing.assert_allclose(mean, array, rtol=1e-3, atol=1e-40)


def test_models_are_converted_from_dtype_to_dtype() -> None:
    narrow = ArrayRecord([array for array in ARRAYS if array.dtype.kind != "c"])
    tiny = ArrayRecord({name: widened(narrow, narrow)[name] for name in narrow})
    assert [array.dtype for array in narrowed(tiny, narrow).values()] == [array.dtype for array in narrow.values()]
    (half,) = narrowed(ArrayRecord([np.array([1e-310, 1e-7])]), ArrayRecord([np.zeros(2, np.float16)])).values()
    assert half.numpy().tolist() == [0.0, np.float16(1e-7)]
    (single,) = fit_into([Slot("w", (2,), np.dtype(np.float32))], [np.array([1e-310, 1.0])])
    assert single.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_proximal_term_of_tiny_differences_is_0(dtype: Any) -> None:
    anchor = [np.zeros(2, dtype)]
    near = [np.array([np.finfo(dtype).smallest_subnormal] * 2)]
    term, gradients = LocalTerm(anchor, mu=0.01), [np.zeros(2, dtype)]
    assert term.loss(near) < 1e-16
    term.add_gradient(near, gradients)
    term.step(near, 300.0)
    assert not np.any([gradients, near])


@pytest.mark.parametrize("model", [MLPClassifier((3,)), SGDClassifier()], ids=repr)
def test_models_of_scikit_learn_are_prepared(model: Any) -> None:
    sklearn.prepare(model, 4, classes=range(3))
    sklearn.set_parameters(model, [array + 1e-310 for array in sklearn.get_parameters(model)])


class Tiny:
    """Moves every weight by less than a float32 can say, and reports how far it is from where it started."""

    label_counts = (2, 1)

    def fit(self, parameters: Any, config: Any) -> Any:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(2):
            # Unlike numpy.full_like in NumPy 1, asarray does not raise on numbers this small.
            tiny = [np.zeros_like(array) + np.asarray(1e-42, array.dtype) for array in parameters]
            term.add_gradient(parameters, tiny)
        moved = [array + np.asarray(1e-42, array.dtype) for array in parameters]
        return moved, 3, {"distance": term.loss(moved), "tiny": 1e-310}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return float(parameters[0][0]), 3, {"tiny": SMALLEST}


@pytest.mark.parametrize(
    "strategy",
    [
        FedAvg(averaging=ClassAware(head={"0": 0})),
        FedProx(proximal_mu=1e-30),
        FedDyn(alpha=SMALLEST),
        FedDyn(alpha=1e-30),
        Scaffold(server_learning_rate=SMALLEST),
        Scaffold(server_learning_rate=0.5),
        FedNova(momentum=1e-30),
    ],
    ids=repr,
)
def test_a_whole_run_of_tiny_numbers(strategy: Any, tmp_path: Any) -> None:
    def client_fn(context: Context) -> Tiny:
        return Tiny()

    model = ArrayRecord([np.array([1e-42, 1.0], np.float32)])
    with LocalGrid(client_app(client_fn), 3) as grid:
        result = strategy.start(grid, model, num_rounds=3, checkpoint_dir=tmp_path)
    assert not any(record.failures for record in strategy.history)
    assert result.arrays["0"].numpy()[0] > 0
