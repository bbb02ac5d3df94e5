"""scikit-learn's linear models and perceptrons as arrays, even before their first fit, and local terms.

Tested with SGDClassifier, SGDRegressor, LogisticRegression, LinearRegression, MLPClassifier and MLPRegressor. Other
models with `coef_` and `intercept_`, or `coefs_` and `intercepts_`, work the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.base import BaseEstimator, clone, is_classifier

from flskew._arrays.records import ParametersError
from flskew._split.labels import shown
from flskew._util import checks
from flskew.client._arrays import Slot, check_linear, fit_into, private_copy
from flskew.client._base_term import BaseLocalTerm, checked_learning_rate
from flskew.client._exchange import Request
from flskew.client._local_term import LocalTerm as NumPyTerm
from flskew.typing import Parameters

__all__ = ["LocalTerm", "complete_classes", "get_parameters", "prepare", "set_parameters"]

Class: TypeAlias = int | str | np.generic

# Fits a perceptron in steps too small to change its random weights. A fixed batch size larger than the few rows would
# raise a warning.
_STANDSTILL = {"solver": "sgd", "learning_rate_init": 1e-300, "early_stopping": False, "batch_size": "auto"}


# Attribute with the classes of a prepared model, which `fit` does not change.
_PREPARED = "_flskew_classes"


def prepare(
    model: BaseEstimator,
    num_features: int,
    *,
    classes: Iterable[Class] | None = None,
    num_outputs: int = 1,
    dtype: DTypeLike = np.float64,
) -> None:
    """Give an untrained model its shapes, its classes and initial weights.

    Linear models start at zero. Perceptrons start at scikit-learn's random weights, drawn with the model's
    `random_state`, or with 0 if that is None: the global RNG is untouched. You can read and set the weights of a
    prepared model, predict with it, and train it with `partial_fit` on rows of only some of the classes. For `fit`,
    which drops classes that the rows lack, use `complete_classes`; otherwise `get_parameters` raises an error.

    Args:
        model: The untrained model; changed in place, except for its hyper-parameters.
        num_features: Number of columns of the rows, >= 1.
        classes: For a classifier, every class on any client, at least two.
        num_outputs: For a regressor, number of target columns.
        dtype: Dtype of the rows; some models reject rows of another dtype.

    Raises:
        TypeError: The model has no `coef_` or `coefs_`, a number is not an integer, or `classes` is not a list.
        ValueError: A classifier gets fewer than two classes, a regressor gets classes, the model averages its weights,
            or a number is < 1.

    Examples:
        >>> import numpy as np
        >>> from sklearn.linear_model import SGDClassifier
        >>> from flskew.client.sklearn import prepare
        >>> model = SGDClassifier(loss="log_loss", random_state=0)
        >>> prepare(model, num_features=4, classes=range(10))
        >>> model.partial_fit(np.eye(4), [3, 5, 3, 5]).coef_.shape  # two of the ten
        (10, 4)
    """
    _refuse_hidden_weights(model)
    num_features = checks.integer("num_features", num_features, minimum=1)
    num_outputs = checks.integer("num_outputs", num_outputs, minimum=1)
    if isinstance(classes, str) or not isinstance(classes, Iterable | None):
        raise TypeError(f"classes must be a list of every class on any client, got {classes!r}; e.g. classes=range(10)")
    labels = np.unique(np.array([] if classes is None else list(classes)))
    if is_classifier(model) and labels.size < 2:
        raise ValueError(
            f"classes must name every class on any client, two or more, got {labels.tolist()}; e.g. classes=range(10)"
        )
    if not is_classifier(model) and classes is not None:
        raise ValueError(f"{type(model).__name__} is not a classifier; remove `classes`")
    targets = labels if classes is not None else np.zeros((2, num_outputs) if num_outputs > 1 else 2)
    rows = np.zeros((len(targets), num_features), dtype)
    scratch = _fitted_copy(model, rows, targets, labels)
    own = model.get_params(deep=False).keys()
    for name, value in vars(scratch).items():
        # scikit-learn makes a new optimizer at the first training step.
        if name not in own and name != "_optimizer":
            setattr(model, name, value)
    if labels.size:
        setattr(model, _PREPARED, labels)


def get_parameters(model: BaseEstimator) -> Parameters:
    """Return copies of a model's weights.

    They are `coef_` and `intercept_` or, layer by layer, `coefs_[i]` and `intercepts_[i]`.

    Raises:
        ParametersError: `fit` has dropped classes for which the model was prepared.
        TypeError: The model has no such weights, or has them only after `prepare` or `fit`.
        ValueError: The model averages its weights.

    Examples:
        >>> from sklearn.neural_network import MLPClassifier
        >>> from flskew.client.sklearn import get_parameters, prepare
        >>> model = MLPClassifier(hidden_layer_sizes=(8,), random_state=0)
        >>> prepare(model, num_features=4, classes=["cat", "dog", "fox"])
        >>> [array.shape for array in get_parameters(model)]
        [(4, 8), (8,), (8, 3), (3,)]
    """
    return [private_copy(array) for _, array in _arrays(model)]


def set_parameters(model: BaseEstimator, parameters: Sequence[NDArray[Any]]) -> None:
    """Replace a model's weights, in the order of `get_parameters`; the model keeps its dtypes.

    Args:
        model: A prepared or fitted model; changed only if every array fits.
        parameters: As many as `get_parameters` returns, with the same shapes.

    Raises:
        ParametersError: The number of arrays differs, or an array does not fit in shape, dtype or range; the message
            names it. Or `fit` has dropped classes for which the model was prepared.
        TypeError: The model has no such weights, or has them only after `prepare` or `fit`.
        ValueError: The model averages its weights.

    Examples:
        >>> import numpy as np
        >>> from sklearn.linear_model import LinearRegression
        >>> from flskew.client.sklearn import prepare, set_parameters
        >>> model = LinearRegression()
        >>> prepare(model, num_features=2)
        >>> set_parameters(model, [np.array([1.0, 2.0]), np.array(3.0)])
        >>> model.predict([[1.0, 1.0]])
        array([6.])
    """
    named = _arrays(model)
    fitting = fit_into([Slot(name, array.shape, array.dtype) for name, array in named], parameters)
    # Copies, since scikit-learn trains in place.
    arrays = [private_copy(array) for array in fitting]
    if hasattr(model, "coefs_"):
        model.coefs_[:], model.intercepts_[:] = arrays[::2], arrays[1::2]
    else:
        model.coef_, model.intercept_ = arrays


def complete_classes(
    model: BaseEstimator, rows: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Return rows, labels and sample weights for `fit`, with a row of weight 0 for each class that is missing.

    `LogisticRegression.fit` takes its classes from the labels, so a client that lacks one would return fewer weights
    than the others. A row of weight 0 keeps the class and does not change the loss. `partial_fit` does not need this.

    Args:
        model: A model that was prepared, or fitted with every class.
        rows: (n, num_features) numbers.
        labels: (n,) labels, each one of the model's classes.

    Raises:
        TypeError: The rows are a sparse matrix, or the model has no classes.
        ValueError: A label is not one of the model's classes; or a class is missing and `class_weight` is "balanced",
            which divides by the count of each class.

    Examples:
        >>> import numpy as np
        >>> from sklearn.linear_model import LogisticRegression
        >>> from flskew.client.sklearn import complete_classes, prepare
        >>> model = LogisticRegression(warm_start=True)
        >>> prepare(model, num_features=2, classes=[0, 1, 2])
        >>> model.fit(*complete_classes(model, np.eye(2), [0, 2])).coef_.shape
        (3, 2)
    """
    rows, labels = np.asarray(rows), np.asarray(labels)
    if rows.ndim == 0:  # NumPy wraps a sparse matrix in an array of one object.
        raise TypeError(
            f"rows must be an array, got {type(rows.item()).__name__}; use .toarray(), or a model with partial_fit, "
            "which accepts sparse rows and rows of some classes only"
        )
    if not hasattr(model, "classes_"):
        raise TypeError(f"{type(model).__name__} has no classes yet; call prepare first, if it is a classifier")
    classes = getattr(model, _PREPARED, model.classes_)
    unknown = np.setdiff1d(labels, classes).tolist()
    if unknown:
        raise ValueError(
            f"label {unknown[0]!r} is not one of the model's classes, {shown(classes.tolist())}; "
            "pass every class on any client to prepare, of the same type as the labels"
        )
    missing = np.setdiff1d(classes, labels)
    if len(missing) and getattr(model, "class_weight", None) == "balanced":
        raise ValueError(
            f"class_weight='balanced' gives no weight to a class without rows, here {missing.tolist()[0]!r}; "
            "pass a dictionary with the weight of each class, the same on every client, or None"
        )
    weights = np.concatenate([np.ones(len(labels)), np.zeros(len(missing))])
    return (
        np.concatenate([rows, np.zeros((len(missing), *rows.shape[1:]), rows.dtype)]),
        np.concatenate([labels, missing]),
        weights,
    )


class LocalTerm(BaseLocalTerm[BaseEstimator]):
    """What the server's strategy adds to a client's loss: (mu/2)·||w - w_t||² + ⟨g, w⟩, for a scikit-learn model.

    These models do not expose gradients, so the term takes an exact step after each update. Make one in `fit`, after
    setting the server's parameters, and call `step` after every `partial_fit`. The same client then works under FedAvg,
    FedProx, FedDyn, SCAFFOLD and FedNova. Under FedAvg the term costs nothing.

    For SCAFFOLD, the term computes the client's mean gradient from what `partial_fit` changed, divided by the learning
    rate that you pass to `step`: the paper's option II. It includes the model's own penalty, such as `alpha`.

    Args:
        anchor: The model, with the received parameters w_t, which are copied.
        mu: Strength of the quadratic part, finite and >= 0; 0 leaves it out.
        linear: g, one array per array of `get_parameters`, of the same shape; None for an array, or for all, is zero.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite, or `linear` does not have the shapes of the model's arrays.
        ParametersError: `linear` has another number of arrays than the model.

    Examples:
        >>> import numpy as np
        >>> from sklearn.linear_model import SGDRegressor
        >>> from flskew.client.sklearn import LocalTerm, prepare
        >>> model = SGDRegressor(
        ...     learning_rate="constant",
        ...     eta0=0.1,
        ...     alpha=0.0,
        ...     fit_intercept=False,
        ...     random_state=0,
        ... )
        >>> prepare(model, num_features=1)
        >>> term = LocalTerm(model, mu=2.5)
        >>> model.partial_fit(np.ones((1, 1)), [1.0]).coef_  # 0 - 0.1 * (0 - 1)
        array([0.1])
        >>> term.step(learning_rate=0.1)
        >>> model.coef_  # 0.1 / (1 + 0.1 * 2.5)
        array([0.08])
    """

    def __init__(
        self, anchor: BaseEstimator, *, mu: float = 0.0, linear: Sequence[NDArray[Any] | None] | None = None
    ) -> None:
        super().__init__(anchor, mu=mu, linear=linear)
        self._model = anchor
        if linear is not None:
            check_linear(linear, [name for name, _ in _arrays(anchor)])
        self._term = self._numpy_term() if self._is_active else None

    def loss(self) -> float:
        """Return (mu/2)·||w - w_t||² + ⟨g, w⟩, summed in float64."""
        self._notice()
        return self._term.loss(get_parameters(self._model)) if self._term else 0.0

    def step(self, learning_rate: float, *, num_steps: int = 1) -> None:
        """Take one exact step on the term: w becomes (w - lr·g + lr·mu·w_t) / (1 + lr·mu).

        `SGDClassifier` and `SGDRegressor` make one update per row, a perceptron one per batch. After a `partial_fit`
        with several updates, pass the sum of their learning rates and their number:

            model.partial_fit(rows, labels)
            term.step(eta0 * len(rows), num_steps=len(rows))

        Args:
            learning_rate: Sum of the learning rates of the updates since the last step; finite and >= 0. With
                momentum, divide the sum by 1 - momentum to give the term the same strength as in the gradient.
            num_steps: Number of these updates, >= 1. FedNova counts them, and SCAFFOLD weights its mean by them.

        Raises:
            TypeError: `num_steps` is not an integer.
            ValueError: A number is out of range.
        """
        rate = checked_learning_rate(learning_rate)
        self._notice(checks.integer("num_steps", num_steps, minimum=1))
        if self._term:
            parameters = get_parameters(self._model)
            self._term.step(parameters, rate, num_steps=num_steps)
            set_parameters(self._model, parameters)

    def covered(self) -> list[int]:
        """Return the positions, in the order of `get_parameters`, of the arrays to which the term applies: all."""
        return self._term.covered() if self._term else list(range(len(_arrays(self._model))))

    def mean_gradients(self) -> dict[int, NDArray[Any]]:
        """Return the mean over the steps of the gradients without the term, by position, if SCAFFOLD asked for it."""
        return self._term.mean_gradients() if self._term else {}

    def _serve(self, request: Request, left_out: Sequence[int]) -> None:
        super()._serve(request, left_out)
        if self._is_active:
            self._term = self._term or self._numpy_term()
            self._term._serve(request, left_out)

    def _numpy_term(self) -> NumPyTerm:
        return NumPyTerm(get_parameters(self._model), mu=self._mu, linear=self._linear or None)


def _fitted_copy(
    model: BaseEstimator, rows: NDArray[Any], targets: NDArray[Any], labels: NDArray[Any]
) -> BaseEstimator:
    """Fit a copy to blank rows, so that scikit-learn itself sets it up, and undo the fit."""
    scratch = clone(model)
    settings = scratch.get_params(deep=False)
    is_perceptron = "hidden_layer_sizes" in settings
    changes: dict[str, object] = dict(_STANDSTILL) if is_perceptron else {}
    if settings.get("random_state", 0) is None:
        changes["random_state"] = 0
    scratch.set_params(**changes)
    with np.errstate(under="ignore"):  # its steps are tiny
        if hasattr(scratch, "partial_fit"):
            scratch.partial_fit(rows, targets, **({"classes": labels} if labels.size else {}))
        else:
            scratch.fit(rows, targets)
    if is_perceptron:
        scratch.t_, scratch.n_iter_, scratch.loss_curve_, scratch.best_loss_ = 0, 0, [], np.inf
        return scratch
    for _, array in _arrays(scratch):
        array[...] = 0
    if hasattr(scratch, "t_"):
        scratch.t_ = 1.0
    return scratch


def _arrays(model: BaseEstimator) -> list[tuple[str, NDArray[Any]]]:
    _refuse_hidden_weights(model)
    num_prepared, num_classes = (len(getattr(model, name, ())) for name in (_PREPARED, "classes_"))
    if num_prepared > num_classes:
        can_continue = hasattr(model, "partial_fit")
        remedy = "use partial_fit" if can_continue else "call model.fit(*complete_classes(model, rows, labels))"
        raise ParametersError(
            f"{type(model).__name__} was prepared for {num_prepared} classes, but fit kept only the {num_classes} in "
            f"the client's rows; {remedy}"
        )
    if hasattr(model, "coefs_"):
        layers = enumerate(zip(model.coefs_, model.intercepts_, strict=True))
        return [pair for i, (w, b) in layers for pair in ((f"coefs_[{i}]", w), (f"intercepts_[{i}]", b))]
    if not hasattr(model, "coef_"):
        raise TypeError(f"{type(model).__name__} has neither coef_ nor coefs_; {_remedy(model)}")
    return [("coef_", model.coef_), ("intercept_", np.asarray(model.intercept_))]


def _remedy(model: BaseEstimator) -> str:
    if any(name.endswith("_") for name in vars(model)):  # fitted, but still has neither
        return "only models whose weights are arrays can be averaged, such as LogisticRegression and MLPClassifier"
    return "call prepare first"


def _refuse_hidden_weights(model: BaseEstimator) -> None:
    if hasattr(model, "steps"):
        raise TypeError(
            f"{type(model).__name__} has steps; pass its last one, model[-1], and apply the others to the rows"
        )
    if getattr(model, "average", False):
        raise ValueError(f"average={model.average!r}: scikit-learn hides the weights that it trains; use average=False")
