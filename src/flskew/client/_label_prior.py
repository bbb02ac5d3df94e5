"""Losses for clients that lack classes: a scale and an offset for each logit, computed from the client's label counts.

Logit adjustment: Aditya Krishna Menon, Sadeep Jayasumana, Ankit Singh Rawat, Himanshu Jain, Andreas Veit and Sanjiv
Kumar. Long-Tail Learning via Logit Adjustment. International Conference on Learning Representations (ICLR 2021). arXiv
2007.07314. Equation 10: tau·log(prior) is added to the logits. Here, the prior is the client's own.

FedRS: Xin-Chun Li and De-Chuan Zhan. FedRS: Federated Learning with Restricted Softmax for Label Distribution Non-IID
Data. Proceedings of the 27th ACM SIGKDD Conference on Knowledge Discovery and Data Mining (KDD 2021), pages 995 to
1005. https://doi.org/10.1145/3447548.3467254. The logits of the missing classes are multiplied by alpha.

FedLC: Jie Zhang, Zhiqi Li, Bo Li, Jianghe Xu, Shuang Wu, Shouhong Ding and Chao Wu. Federated Learning with Label
Distribution Skew via Logits Calibration. Proceedings of the 39th International Conference on Machine Learning (ICML
2022), PMLR 162, pages 26311 to 26329. arXiv 2209.00189. tau·n_c^(-1/4) is subtracted from the logit of class c.

Unlike the papers' formulas, whose offset for a missing class is minus infinity, ours is -10,000: a missing class
contributes 0 times its log-probability to a one-hot cross entropy, and 0 times infinity is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew._util.values import Value
from flskew.typing import Sizes

__all__ = ["LabelPrior", "LogitTransform"]

# exp(-10,000) is exactly 0 even in float64, so a class with this offset has probability and gradient 0 unless its logit
# exceeds the others by thousands. The offsets of classes with rows stay above -4,400. float16, whose largest number is
# 65,504, holds it with room for the logit.
_LOWEST_OFFSET = -10_000.0


class LogitTransform(NamedTuple):
    """What to do to the logits in the training loss: `adjusted = logits * scale + offset`.

    Both arrays are new at each call, and finite in float16 too. Most frameworks take them as they are; for PyTorch,
    wrap them with `torch.from_numpy`.

    Attributes:
        scale: (num_classes,) float32, from 0 to 1.
        offset: (num_classes,) float32, from -10,000 to 0.

    Examples:
        >>> import numpy as np
        >>> from flskew import LabelPrior
        >>> scale, offset = LabelPrior([3, 0, 1]).fedrs(alpha=0.5)
        >>> (np.array([4.0, 4.0, 2.0]) * scale + offset).tolist()
        [4.0, 2.0, 2.0]
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]


class LabelPrior(Value):
    """A client's label counts, and the losses for missing classes that follow from them.

    A client without threes lowers the score of "three" for every image that it trains on. Each method returns a `scale`
    and an `offset` that limit this: train on the softmax cross entropy of `logits * scale + offset`. Leave them out of
    predictions and metrics. The logits are one per class, in the order of the counts.

    Use them if clients lack a few classes. If clients lack most classes, they do harm: a client then does not learn to
    tell its classes from those that it lacks.

    Args:
        counts: (num_classes,) training rows of each class, integers >= 0, at least one of them > 0; a row of
            `Assignment.label_counts`. Copied.

    Raises:
        TypeError: The counts are not integers.
        ValueError: They have another shape, one is negative, or all are 0.

    Examples:
        >>> import numpy as np
        >>> from flskew import LabelExclusionPartitioner, LabelPrior
        >>> labels = [0, 1, 2, 0, 1, 2]
        >>> assignment = LabelExclusionPartitioner([{1}, {2}]).assign(labels)
        >>> prior = LabelPrior(assignment.label_counts[0])
        >>> prior
        LabelPrior(counts=[1, 0, 2])
        >>> prior.masking().offset.tolist()
        [0.0, -10000.0, 0.0]
    """

    def __init__(self, counts: Sequence[int] | NDArray[np.integer[Any]]) -> None:
        self.counts: Sizes = _checked_counts(counts)

    def logit_adjustment(self, tau: float = 1.0) -> LogitTransform:
        """Return offsets tau·log(n_c / n), so the model learns what classes look like, not how frequent they are.

        n_c is the client's number of rows of class c, and n its total. A missing class is masked. If all classes have
        equal counts, the gradient is that of the plain loss.

        Args:
            tau: The strength, from 0 to 100; 0 is the plain loss.

        Raises:
            TypeError: tau is not a real number.
            ValueError: tau is not in [0, 100].

        Examples:
            >>> from flskew import LabelPrior
            >>> scale, offset = LabelPrior([3, 0, 1]).logit_adjustment()
            >>> [round(float(number), 2) for number in offset]
            [-0.29, -10000.0, -1.39]
        """
        strength = checks.within("tau must be a number from 0 to 100", tau, most=100)
        with np.errstate(divide="ignore"):
            return _offsets(strength, np.log(self.counts / self.counts.sum(dtype=np.float64)))

    def fedlc(self, tau: float = 1.0) -> LogitTransform:
        """Return FedLC's offsets -tau·n_c^(-1/4), which are further below 0 the rarer a class is.

        A missing class is masked. For classes with hundreds of rows, the offsets hardly differ, so that masking is most
        of the effect. The counts are numbers of rows: FedLC depends on their size, not only on their ratios.

        Args:
            tau: The strength, from 0 to 100; 0 is the plain loss.

        Raises:
            TypeError: tau is not a real number.
            ValueError: tau is not in [0, 100].

        Examples:
            >>> from flskew import LabelPrior
            >>> LabelPrior([16, 0, 1]).fedlc(tau=2.0).offset.tolist()
            [-1.0, -10000.0, -2.0]
        """
        strength = checks.within("tau must be a number from 0 to 100", tau, most=100)
        with np.errstate(divide="ignore"):
            return _offsets(strength, -(self.counts**-0.25))

    def fedrs(self, alpha: float = 0.5) -> LogitTransform:
        """Return FedRS's scales: alpha for the logits of missing classes, 1 for all others.

        Args:
            alpha: From 0 to 1; 1 is the plain loss.

        Raises:
            TypeError: alpha is not a real number.
            ValueError: alpha is not in [0, 1].

        Examples:
            >>> from flskew import LabelPrior
            >>> LabelPrior([3, 0, 1]).fedrs(alpha=0.25).scale.tolist()
            [1.0, 0.25, 1.0]
        """
        strength = checks.within("alpha must be a number from 0 to 1", alpha, most=1)
        with np.errstate(under="ignore"):
            scale = np.where(self.counts > 0, 1.0, strength).astype(np.float32)
        return LogitTransform(scale, np.zeros_like(scale))

    def masking(self) -> LogitTransform:
        """Return offsets that take the missing classes out of the softmax: their gradient is 0.

        Examples:
            >>> from flskew import LabelPrior
            >>> LabelPrior([3, 0, 1]).masking().offset.tolist()
            [0.0, -10000.0, 0.0]
        """
        return _offsets(1.0, np.where(self.counts > 0, 0.0, -np.inf))


def _offsets(strength: float, formula: NDArray[np.floating[Any]]) -> LogitTransform:
    """Return the offsets of a formula that is minus infinity for missing classes, times a strength."""
    if strength == 0:  # otherwise, 0 times infinity is NaN
        formula = np.zeros_like(formula)
    with np.errstate(under="ignore"):
        offset = np.maximum(strength * formula, _LOWEST_OFFSET).astype(np.float32)
    return LogitTransform(np.ones_like(offset), offset)


def _checked_counts(given: object) -> Sizes:
    """Return a read-only copy of label counts. The errors quote no count: they may leave the client."""
    try:
        counts = np.asarray(given)
    except ValueError:
        raise ValueError("counts must be one integer per class, got rows of several lengths") from None
    if counts.ndim != 1 or counts.size == 0:
        raise ValueError(
            f"counts must have the shape (num_classes,), got {counts.shape}; "
            "pass one row of label_counts: assignment.label_counts[partition_id]"
        )
    if counts.dtype.kind not in "iu":
        raise TypeError(
            f"counts must be integers, got an array of {counts.dtype}; pass the number of rows of each class, as from "
            "numpy.bincount(labels, minlength=num_classes)"
        )
    counts = counts.astype(np.int64)
    if (counts < 0).any():
        raise ValueError("counts must be >= 0, but at least one is negative; pass the number of rows of each class")
    if not counts.any():
        raise ValueError("counts must not all be 0: this client has no training rows; set min_partition_size")
    counts.setflags(write=False)
    return counts
