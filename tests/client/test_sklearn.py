"""scikit-learn: untrained models, reading and setting their arrays, and the local term."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, is_classifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flskew import FedAvg, FedDyn, FedNova, LocalGrid, Scaffold, client_app, partition_id
from flskew import LocalTerm as NumPyTerm
from flskew._arrays.records import ParametersError, record_from_parameters
from flskew.client._exchange import Exchange, Request
from flskew.client.sklearn import LocalTerm, complete_classes, get_parameters, prepare, set_parameters

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((60, 4)), np.arange(60) % 5

MODELS: dict[str, Callable[[], BaseEstimator]] = {
    "SGDClassifier": lambda: SGDClassifier(loss="log_loss", random_state=3),
    "LogisticRegression": lambda: LogisticRegression(warm_start=True, max_iter=200),
    "MLPClassifier": lambda: MLPClassifier(hidden_layer_sizes=(6, 3), random_state=3),
    "MLPClassifier sgd": lambda: MLPClassifier(hidden_layer_sizes=6, solver="sgd", random_state=3),
    "MLPClassifier lbfgs": lambda: MLPClassifier(hidden_layer_sizes=6, solver="lbfgs", random_state=3),
    "SGDRegressor": lambda: SGDRegressor(random_state=3),
    "LinearRegression": LinearRegression,
    "MLPRegressor": lambda: MLPRegressor(hidden_layer_sizes=(6,), random_state=3),
}
ALL = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def prepared(make: Callable[[], BaseEstimator], classes: object = range(5)) -> BaseEstimator:
    model = make()
    prepare(model, 4, **({"classes": classes} if is_classifier(model) else {}))
    return model


def ones_more(model: BaseEstimator) -> list[np.ndarray]:
    return [array + 1 for array in get_parameters(model)]


def assert_equal(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@ALL
def test_a_prepared_model_has_the_shapes_of_a_fitted_one(make: Callable[[], BaseEstimator]) -> None:
    model, fitted = prepared(make), make()
    fitted.set_params(**({"max_iter": 2000} if "max_iter" in fitted.get_params() else {}))
    fitted.fit(X, Y)
    ours, theirs = get_parameters(model), get_parameters(fitted)
    assert [(a.shape, a.dtype) for a in ours] == [(a.shape, a.dtype) for a in theirs]


@ALL
def test_a_prepared_model_can_be_set_and_predicts_with_the_new_weights(make: Callable[[], BaseEstimator]) -> None:
    model, other = prepared(make), prepared(make)
    set_parameters(other, ones_more(model))
    assert_equal(get_parameters(other), ones_more(model))
    assert other.predict(X).shape == (60,)
    set_parameters(model, get_parameters(other))
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


@pytest.mark.parametrize("name", ["SGDClassifier", "LogisticRegression", "SGDRegressor", "LinearRegression"])
def test_linear_models_start_at_zero(name: str) -> None:
    assert all(not array.any() for array in get_parameters(prepared(MODELS[name])))


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_perceptrons_start_at_scikit_learns_weights_for_their_seed(solver: str) -> None:
    def make(seed: int | None) -> MLPClassifier:
        return MLPClassifier(hidden_layer_sizes=(6,), solver=solver, random_state=seed)

    # After a fit with tiny steps, the weights are those at its start.
    begun = MLPClassifier(hidden_layer_sizes=(6,), solver="sgd", learning_rate_init=1e-300, random_state=3)
    begun.partial_fit(X, Y, classes=range(5))
    assert_equal(get_parameters(prepared(lambda: make(3))), get_parameters(begun))
    first, second = (get_parameters(prepared(lambda seed=seed: make(seed))) for seed in (3, 4))
    assert np.abs(first[0] - second[0]).max() > 0.1
    assert_equal(get_parameters(prepared(lambda: make(None))), get_parameters(prepared(lambda: make(0))))


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_perceptron_with_a_large_batch_size_is_prepared_without_a_warning(
    make: Callable[..., BaseEstimator],
) -> None:
    model = prepared(lambda: make(hidden_layer_sizes=(6,), batch_size=64, random_state=3))  # warnings are errors
    assert model.batch_size == 64
    assert_equal(get_parameters(model), get_parameters(prepared(lambda: make(hidden_layer_sizes=(6,), random_state=3))))


def test_the_row_counter_and_losses_of_a_prepared_perceptron_are_empty() -> None:
    """Otherwise its learning rate would decay too early."""
    model = prepared(MODELS["MLPClassifier sgd"])
    assert (model.t_, model.n_iter_, model.loss_curve_, model.best_loss_) == (0, 0, [], np.inf)


def test_preparing_does_not_use_the_global_generator() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for make in (SGDClassifier, LogisticRegression, MLPClassifier, SGDRegressor, MLPRegressor):
        prepared(make)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@ALL
def test_preparing_keeps_the_hyper_parameters(make: Callable[[], BaseEstimator]) -> None:
    assert prepared(make).get_params() == make().get_params()


@pytest.mark.parametrize("name", ["SGDClassifier", "MLPClassifier", "MLPClassifier sgd"])
def test_a_prepared_classifier_trains_on_rows_of_one_class_and_keeps_the_shapes(name: str) -> None:
    model = prepared(MODELS[name])
    shapes = [array.shape for array in get_parameters(model)]
    before = get_parameters(model)
    model.partial_fit(X[Y == 2], Y[Y == 2])
    assert [array.shape for array in get_parameters(model)] == shapes
    assert any((a != b).any() for a, b in zip(get_parameters(model), before, strict=True))
    assert set(model.predict(X)) <= set(range(5))


def test_a_prepared_sgd_classifier_trains_like_one_given_its_classes() -> None:
    ours, theirs = prepared(MODELS["SGDClassifier"]), MODELS["SGDClassifier"]()
    ours.partial_fit(X, Y)
    theirs.partial_fit(X, Y, classes=range(5))
    assert_equal(get_parameters(ours), get_parameters(theirs))


def test_classes_may_be_text_in_any_order() -> None:
    model = prepared(MODELS["SGDClassifier"], ["dog", "cat", "fox"])
    assert model.classes_.tolist() == ["cat", "dog", "fox"]
    assert model.partial_fit(X[:2], ["fox", "cat"]).predict(X).shape == (60,)


@pytest.mark.parametrize("name", ["SGDClassifier", "LogisticRegression", "MLPClassifier"])
def test_a_model_of_two_classes_has_one_row_of_weights(name: str) -> None:
    model = prepared(MODELS[name], [0, 1])
    assert get_parameters(model)[-1].shape == (1,)
    set_parameters(model, ones_more(model))
    assert set(model.predict(X)) <= {0, 1}


@pytest.mark.parametrize("make", [LinearRegression, lambda: MLPRegressor(hidden_layer_sizes=6, random_state=0)])
def test_a_regressor_may_have_several_outputs(make: Callable[[], BaseEstimator]) -> None:
    model = make()
    prepare(model, 4, num_outputs=3)
    set_parameters(model, ones_more(model))
    assert model.predict(X).shape == (60, 3)


def test_a_model_prepared_for_float32_accepts_float32_rows() -> None:
    model = SGDClassifier(random_state=0)
    prepare(model, 4, classes=range(5), dtype=np.float32)
    assert {a.dtype.name for a in get_parameters(model.partial_fit(X.astype(np.float32), Y))} == {"float32"}


@ALL
def test_training_does_not_change_arrays_that_were_read_or_set(make: Callable[[], BaseEstimator]) -> None:
    model = prepared(make)
    given = ones_more(model)
    set_parameters(model, given)
    taken = get_parameters(model)
    copies = [array.copy() for array in taken]
    getattr(model, "partial_fit", model.fit)(X, Y)
    assert_equal(taken, copies)
    assert_equal(given, copies)


def test_an_array_that_does_not_fit_is_named_and_nothing_is_changed() -> None:
    model = prepared(MODELS["MLPClassifier"])
    before, arrays = get_parameters(model), ones_more(model)
    with pytest.raises(ParametersError, match=r"the model has 6 arrays, coefs_\[0\], intercepts_\[0\], .*; got 5"):
        set_parameters(model, arrays[:-1])
    arrays[3] = np.zeros(1)  # would broadcast
    with pytest.raises(ParametersError, match=r"array 'intercepts_\[1\]': the model has shape \(3,\), got \(1,\)"):
        set_parameters(model, arrays)
    assert_equal(get_parameters(model), before)


@ALL
def test_a_model_neither_fitted_nor_prepared_is_refused(make: Callable[[], BaseEstimator]) -> None:
    with pytest.raises(TypeError, match="has neither coef_ nor coefs_; call prepare"):
        get_parameters(make())


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(TypeError, match="RandomForestClassifier has neither coef_ nor coefs_"):
        prepare(RandomForestClassifier(n_estimators=1), 4, classes=[0, 1])


@pytest.mark.parametrize("classes", [None, [], [3], [3, 3]])
def test_a_classifier_without_two_classes_is_refused(classes: list[int] | None) -> None:
    with pytest.raises(ValueError, match="classes must name every class on any client, two or more, got"):
        prepare(SGDClassifier(), 4, classes=classes)


def test_classes_for_a_regressor_are_refused() -> None:
    with pytest.raises(ValueError, match="LinearRegression is not a classifier; remove `classes`"):
        prepare(LinearRegression(), 4, classes=[0, 1])


def test_averaged_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="average=True: scikit-learn hides the weights that it trains"):
        prepare(SGDClassifier(average=True), 4, classes=[0, 1])
    with pytest.raises(ValueError, match="average=5"):
        get_parameters(SGDClassifier(average=5).fit(X, Y))


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_rows_of_weight_zero_keep_the_missing_classes_and_do_not_change_the_loss(solver: str) -> None:
    def make() -> LogisticRegression:
        # Without an intercept, the optimum of a missing class is finite.
        model = LogisticRegression(solver=solver, warm_start=True, fit_intercept=False, tol=1e-10, max_iter=5000)
        prepare(model, 4, classes=range(5))
        return model

    here = Y < 3
    model = make().fit(*complete_classes(make(), X[here], Y[here]))
    assert model.classes_.tolist() == [0, 1, 2, 3, 4]
    w = model.coef_.ravel()

    def objective(w: np.ndarray) -> float:
        """The loss of LogisticRegression, C = 1, on these rows and all five classes."""
        logits = X[here] @ w.reshape(5, 4).T
        chosen = logits[np.arange(here.sum()), Y[here]]
        return float((np.log(np.exp(logits).sum(1)) - chosen).sum() + (w**2).sum() / 2)

    slopes = [(objective(w + s) - objective(w - s)) / 2e-5 for s in np.eye(20) * 1e-5]
    np.testing.assert_allclose(slopes, 0, atol=1e-3)


def test_a_client_with_one_class_can_fit_a_logistic_regression() -> None:
    model = prepared(MODELS["LogisticRegression"])
    rows, labels, weights = complete_classes(model, X[Y == 2], Y[Y == 2])
    assert (rows.shape, weights.sum()) == ((16, 4), 12)
    assert model.fit(rows, labels, weights).coef_.shape == (5, 4)


@ALL
def test_a_step_equals_that_of_the_numpy_term_on_the_models_arrays(make: Callable[[], BaseEstimator]) -> None:
    model = prepared(make)
    anchor = get_parameters(model)
    term = LocalTerm(model, mu=0.5)
    set_parameters(model, ones_more(model))
    expected, reference = [np.array(array) for array in get_parameters(model)], NumPyTerm(anchor, mu=0.5)
    assert term.loss() == pytest.approx(0.5 / 2 * sum(array.size for array in anchor))
    reference.step(expected, 0.3)
    term.step(0.3)
    assert_equal(get_parameters(model), expected)


@ALL
def test_a_step_with_a_linear_part_equals_that_of_the_numpy_term(make: Callable[[], BaseEstimator]) -> None:
    model = prepared(make)
    anchor = get_parameters(model)
    linear = [np.asarray(RNG.standard_normal(array.shape)) for array in anchor]
    term, reference = LocalTerm(model, mu=0.5, linear=linear), NumPyTerm(anchor, mu=0.5, linear=linear)
    set_parameters(model, ones_more(model))
    expected = [np.array(array) for array in get_parameters(model)]
    assert term.loss() == pytest.approx(reference.loss(expected))
    reference.step(expected, 0.3)
    term.step(0.3)
    assert_equal(get_parameters(model), expected)


def test_a_linear_part_for_another_model_is_refused_with_both_numbers() -> None:
    model = prepared(MODELS["SGDClassifier"])
    with pytest.raises(ParametersError, match=r"the model has 2 arrays, coef_, intercept_; .* is for 3, as many"):
        LocalTerm(model, linear=[None, None, None])
    with pytest.raises(ValueError, match="linear must have the shapes of the anchor"):
        LocalTerm(model, linear=[np.zeros(1), None])


def test_under_fedavg_the_model_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = prepared(MODELS["SGDClassifier"])

    def refuse(*_: object) -> None:
        raise AssertionError("FedAvg must cost nothing")

    monkeypatch.setattr("flskew.client.sklearn.private_copy", refuse)
    term = LocalTerm.from_config({"lr": 0.1}, model)
    term.step(0.1)
    assert term.loss() == 0
    assert (term.is_used, term.covered()) == (True, [0, 1])


def squares(site: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One row per site, with a loss of (x w - y)^2 / 2."""
    return np.array([[1.0 + site]]), np.array([4.0 - 3 * site])


class Squares:
    """A client that calls `partial_fit` on its row and then the term's step, three times."""

    def __init__(self, context: Context) -> None:
        self.rows, self.labels = squares(partition_id(context))
        self.num_calls = 3 + 2 * partition_id(context)

    def fit(self, parameters: Any, config: Any) -> Any:
        model = SGDRegressor(learning_rate="constant", eta0=0.05, alpha=0.0, fit_intercept=False)
        prepare(model, 1)
        set_parameters(model, parameters)
        term = LocalTerm.from_config(config, model)
        for _ in range(self.num_calls):
            model.partial_fit(self.rows, self.labels)
            term.step(0.05, num_steps=1)
        return get_parameters(model), 10, {}


@pytest.mark.parametrize(
    "strategy",
    [FedDyn(alpha=2.0, fraction_evaluate=0.0), Scaffold(fraction_evaluate=0.0)],
    ids=["FedDyn", "Scaffold"],
)
def test_clients_with_steps_reach_the_optimum_of_all_rows(strategy: FedAvg) -> None:
    with LocalGrid(client_app(Squares), 3) as grid:
        arrays = ArrayRecord([np.zeros(1), np.zeros(1)])
        found = strategy.start(grid, arrays, num_rounds=25).arrays["0"].numpy()
        fedavg = FedAvg(fraction_evaluate=0.0).start(grid, arrays, num_rounds=25).arrays["0"].numpy()
    rows, labels = (np.concatenate(each).ravel() for each in zip(*map(squares, range(3)), strict=True))
    optimum = rows @ labels / (rows @ rows)
    assert found == pytest.approx(optimum, abs=1e-3)
    assert abs(fedavg.item() - optimum) > 0.1


def test_the_reply_counts_the_updates_that_step_was_told_of() -> None:
    class Batches:
        def fit(self, parameters: Any, config: Any) -> Any:
            model = prepared(MODELS["SGDRegressor"])
            set_parameters(model, parameters)
            term = LocalTerm.from_config(config, model)
            for _ in range(2):
                model.partial_fit(X, Y)
                term.step(0.01 * len(X), num_steps=len(X))
            assert term.steps == 2 * len(X)
            return get_parameters(model), 10, {}

    strategy = FedNova(fraction_evaluate=0.0)
    with LocalGrid(client_app(lambda context: Batches(), errors="full"), 2) as grid:
        strategy.start(grid, ArrayRecord([np.zeros(4), np.zeros(1)]), num_rounds=1)
    assert not strategy.history[0].failures


def test_the_mean_gradient_is_scaffolds_option_two() -> None:
    rate, model = 0.1, SGDRegressor(learning_rate="constant", eta0=0.1, alpha=0.0)
    prepare(model, 4)
    start = get_parameters(model)
    control = [np.asarray(RNG.standard_normal(array.shape)) for array in start]
    sent = dict(zip("01", control, strict=True))
    with Exchange(record_from_parameters(start), Request(is_scaffold=True), 1, sent).open():
        term = LocalTerm.from_config({"scaffold": True}, model)
    for rows in (slice(0, 1), slice(1, 4), slice(4, 10)):
        num_rows = len(Y[rows])
        model.partial_fit(X[rows], Y[rows])
        term.step(rate * num_rows, num_steps=num_rows)
    assert term.steps == 10
    assert term.covered() == list(term.mean_gradients()) == [0, 1]
    for mean, w_t, w, c in zip(term.mean_gradients().values(), start, get_parameters(model), control, strict=True):
        np.testing.assert_allclose(mean, (w_t - w) / (10 * rate) - c, rtol=0, atol=1e-12)


def test_partial_fit_with_steps_is_proximal_gradient_descent() -> None:
    mu, rate = 0.8, 0.1
    model = SGDRegressor(learning_rate="constant", eta0=rate, alpha=0.0, shuffle=False, random_state=0)
    prepare(model, 4)
    set_parameters(model, [np.full(4, 0.5), np.zeros(1)])
    term = LocalTerm(model, mu=mu)
    w, b, w_t = np.full(4, 0.5), 0.0, np.full(4, 0.5)
    for x, y in zip(X[:20], Y[:20], strict=True):
        model.partial_fit([x], [y])
        term.step(rate)
        error = w @ x + b - y
        w, b = w - rate * error * x, b - rate * error
        w, b = (w + rate * mu * w_t) / (1 + rate * mu), b / (1 + rate * mu)
    np.testing.assert_allclose(model.coef_, w, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, b, rtol=1e-9)


@pytest.mark.parametrize("name", ["SGDClassifier", "MLPClassifier sgd"])
def test_the_distance_to_the_anchor_decreases_with_mu(name: str) -> None:
    distances = []
    for mu in (0.0, 0.1, 1.0, 10.0):
        model = prepared(MODELS[name])
        model.set_params(**({"eta0": 1e-3, "learning_rate": "constant"} if name == "SGDClassifier" else {}))
        term, anchor = LocalTerm(model, mu=mu), get_parameters(model)
        for _ in range(20):
            model.partial_fit(X, Y)
            term.step(1e-3 * (60 if name == "SGDClassifier" else 1))
        distances.append(NumPyTerm(anchor, mu=2.0).loss(get_parameters(model)) ** 0.5)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0]


def test_mu_zero_gives_the_weights_of_training_without_a_term_bit_for_bit() -> None:
    plain, proximal = prepared(MODELS["MLPClassifier"]), prepared(MODELS["MLPClassifier"])
    term = LocalTerm.from_config({"proximal_mu": 0}, proximal)
    for _ in range(5):
        plain.partial_fit(X, Y)
        proximal.partial_fit(X, Y)
        term.step(0.001)
    assert_equal(get_parameters(plain), get_parameters(proximal))
    assert term.loss() == 0


def test_an_invalid_learning_rate_is_refused_with_any_mu() -> None:
    for mu in (0, 0.1):
        with pytest.raises(ValueError, match="learning_rate must be finite and >= 0, got -1"):
            LocalTerm(prepared(MODELS["SGDClassifier"]), mu=mu).step(-1)


def test_a_label_that_is_not_one_of_the_classes_is_named() -> None:
    model = prepared(MODELS["LogisticRegression"])
    with pytest.raises(ValueError, match=r"label 7 is not one of the model's classes, 0, 1, 2, 3, 4; pass every class"):
        complete_classes(model, X[:2], [1, 7])
    with pytest.raises(ValueError, match="label '1' is not one of the model's classes"):
        complete_classes(model, X[:2], ["1", "2"])
    with pytest.raises(TypeError, match="LogisticRegression has no classes yet; call prepare first"):
        complete_classes(LogisticRegression(), X, Y)


def test_the_error_after_a_fit_that_dropped_classes_names_the_remedy() -> None:
    model = prepared(LogisticRegression)
    start = get_parameters(model)
    model.fit(X[Y < 3], Y[Y < 3])
    for use in (get_parameters, lambda model: set_parameters(model, start), lambda model: LocalTerm(model, mu=0.1)):
        with pytest.raises(
            ParametersError,
            match=r"LogisticRegression was prepared for 5 classes, but fit kept only the 3 in the client's rows; "
            r"call model.fit\(\*complete_classes\(model, rows, labels\)\)",
        ):
            use(model)
    perceptron = prepared(MODELS["SGDClassifier"])
    perceptron.fit(X[Y < 3], Y[Y < 3])
    with pytest.raises(ParametersError, match=r"SGDClassifier was prepared for 5 classes, .* 3 .*; use partial_fit$"):
        get_parameters(perceptron)
    # The remedy works on a model that has lost classes.
    assert get_parameters(model.fit(*complete_classes(model, X[Y < 3], Y[Y < 3])))[0].shape == (5, 4)


class Hospital:
    """Has rows of all five classes, but on partition 0 of fewer; sets the model as Flower's example does."""

    def __init__(self, context: Context, num_classes: int, *, warm_start: bool, completes: bool) -> None:
        here = np.isin(Y, range(num_classes if partition_id(context) == 0 else 5))
        self.rows, self.labels, self.warm_start, self.completes = X[here], Y[here], warm_start, completes

    def fit(self, parameters: Any, config: Any) -> Any:
        model = LogisticRegression(warm_start=self.warm_start, max_iter=1)
        model.classes_ = np.arange(5)
        model.coef_, model.intercept_ = parameters
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            if self.completes:
                model.fit(*complete_classes(model, self.rows, self.labels))
            else:
                model.fit(self.rows, self.labels)
        return [model.coef_, model.intercept_], len(self.rows), {}


@pytest.mark.parametrize("completes", [False, True])
@pytest.mark.parametrize(
    ("num_classes", "warm_start", "beginning"),
    [
        (1, True, r"ValueError at test_sklearn.py:\d+ in Hospital.fit; "),
        (3, True, r"ValueError at test_sklearn.py:\d+ in Hospital.fit; "),
        (3, False, r"ClientError: array '0' was received with shape \(5, 4\) and returned with \(3, 4\); "),
    ],
)
def test_the_error_of_a_client_that_lacks_classes_says_how_to_train(
    num_classes: int, warm_start: bool, beginning: str, completes: bool
) -> None:
    app = client_app(lambda context: Hospital(context, num_classes, warm_start=warm_start, completes=completes))
    with LocalGrid(app, 3) as grid:
        strategy = FedAvg(fraction_evaluate=0.0)
        strategy.start(grid, ArrayRecord([np.zeros((5, 4)), np.zeros(5)]), num_rounds=2)
    failures = [failure for one in strategy.history for failure in one.failures]
    assert len(failures) == (0 if completes else 2)
    for failure in failures:
        assert failure.node_id == 1000
        remedy = r"scikit-learn's fit drops classes that the client's rows lack; use model.fit\(\*flskew.client.sklearn"
        assert re.match(beginning + remedy, failure.reason), failure.reason


def test_balanced_class_weights_are_refused_if_a_class_has_no_rows() -> None:
    """scikit-learn divides by the count of each class, so the weights would become NaN."""
    model = LogisticRegression(class_weight="balanced")
    prepare(model, 4, classes=range(5))
    assert np.isfinite(model.fit(*complete_classes(model, X, Y)).coef_).all()
    with pytest.raises(ValueError, match=r"class_weight='balanced' gives no weight to a class without rows, here 3"):
        complete_classes(model, X[Y < 3], Y[Y < 3])


def test_sparse_rows_are_refused_with_a_remedy() -> None:
    with pytest.raises(
        TypeError, match=r"rows must be an array, got csr_matrix; use .toarray\(\), or a model with partial"
    ):
        complete_classes(prepared(MODELS["LogisticRegression"]), csr_matrix(X), Y)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_features": X.shape}, TypeError, r"num_features must be an integer, got \(60, 4\)"),
        ({"num_features": 0}, ValueError, "num_features must be at least 1, got 0"),
        ({"num_outputs": 0}, ValueError, "num_outputs must be at least 1, got 0"),
        ({"classes": 5}, TypeError, r"classes must be a list of every class on any client, got 5; e.g. classes=range"),
        ({"classes": "cat"}, TypeError, "classes must be a list of every class on any client, got 'cat'"),
    ],
)
def test_an_invalid_shape_is_named(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(LogisticRegression(), **({"num_features": 4, "classes": range(5)} | arguments))


def test_a_pipeline_is_prepared_by_its_last_step() -> None:
    pipeline = make_pipeline(StandardScaler(), SGDClassifier())
    with pytest.raises(TypeError, match=r"Pipeline has steps; pass its last one, model\[-1\], and apply the others"):
        prepare(pipeline, num_features=2, classes=[0, 1])
    prepare(pipeline[-1], num_features=2, classes=[0, 1])
    assert [array.shape for array in get_parameters(pipeline[-1])] == [(1, 2), (1,)]


@pytest.mark.parametrize("model", [RandomForestClassifier(2), KNeighborsClassifier(1)], ids=lambda m: type(m).__name__)
def test_the_error_of_a_model_without_weight_arrays_does_not_suggest_prepare(model: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(model).__name__} has neither .*; only models whose weights are arrays"):
        prepare(model, num_features=2, classes=[0, 1])
    model.fit([[0, 1], [1, 0]], [0, 1])
    with pytest.raises(TypeError, match="only models whose weights are arrays can be averaged"):
        get_parameters(model)
