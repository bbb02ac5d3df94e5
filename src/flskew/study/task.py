"""What a user brings to a study: the labels, the model, its training and its score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flskew.client import SupportsFit
from flskew.typing import Labels, Parameters, Rows

__all__ = ["Task"]


class Task(Protocol):
    """Data, a model, and how to train and score it; any object with these two attributes and three methods.

    Rows are positions in the training data for `client`, and in the test data for `evaluate`. A client draws all its
    random numbers, such as the order of its rows, from `config["seed"]`, which `fit` receives. This integer from 0 to
    2^31 - 1 depends on the seed of the study, the round and the partition, but not on the method. So methods do not
    differ by luck.

    If an assignment has a shift, `client` and `evaluate` also get the `View` of the client, as a second and a third
    argument, `view`, and must apply it. For the whole test set, which is not shifted, `evaluate` gets no view.

    To run in several processes, a task must be picklable. Classes and functions that you define in a notebook are.

    Examples:
        >>> import numpy as np
        >>> class Mean:
        ...     "The model is one number; the label of each row is its value."
        ...
        ...     labels, test_labels = [0, 0, 1, 1], [0, 1]
        ...
        ...     def initial(self, seed):
        ...         return [np.zeros(1)]
        ...
        ...     def client(self, rows):
        ...         return Site(np.take(self.labels, rows))
        ...
        ...     def evaluate(self, parameters, rows):
        ...         guesses = np.full(len(rows), parameters[0][0] > 0.4)
        ...         right = guesses == np.take(self.test_labels, rows)
        ...         return {"accuracy": right.mean()}
        >>> class Site:
        ...     def __init__(self, values):
        ...         self.values = values
        ...
        ...     def fit(self, parameters, config):
        ...         return [np.array([self.values.mean()])], len(self.values), {}
        >>> task: "flskew.study.Task" = Mean()
    """

    @property
    def labels(self) -> Labels:
        """(num_rows,) label of each training row."""
        ...

    @property
    def test_labels(self) -> Labels:
        """(num_test_rows,) label of each test row."""
        ...

    def initial(self, seed: int, /) -> Parameters:
        """Return the parameters before training, a list of NumPy arrays; the same for the same seed.

        Args:
            seed: The seed of the study. Frameworks draw initial weights from a global generator, so seed it first, for
                example with `torch.manual_seed(seed)`.
        """
        ...

    def client(self, rows: Rows, /) -> SupportsFit:
        """Return a client that trains on these rows; called for each message, so loading should be fast.

        Args:
            rows: Positions in the training data.
        """
        ...

    def evaluate(self, parameters: Parameters, rows: Rows, /) -> Mapping[str, float]:
        """Return metrics of a model, such as {"accuracy": 0.9, "loss": 0.3}; always the same names.

        It is called after each round for the whole test set, and after the last round also for the test rows of each
        client and of each class. So it should be fast for a few rows, too: build or compile a model once, not in each
        call. Recall per class is the "accuracy" of the rows of one class, so return it for classifiers. Return NaN for
        a metric that is undefined on some rows, such as the area under the ROC curve if all have the same class.

        Args:
            parameters: The model; may be changed.
            rows: Positions in the test data, at least one.
        """
        ...
