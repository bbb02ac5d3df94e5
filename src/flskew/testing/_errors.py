"""What the conformance kits raise."""

from __future__ import annotations

__all__ = ["LawError"]


class LawError(AssertionError):
    """A partitioner or a shift breaks a law; the message says which one and how.

    Examples:
        >>> from flskew import IidPartitioner
        >>> from flskew.testing import LawError, check_partitioner
        >>> class Fickle:
        ...     seed = 0
        ...
        ...     def assign(self, labels):
        ...         self.seed += 1
        ...         return IidPartitioner(2, seed=self.seed).assign(labels)
        >>> try:
        ...     check_partitioner(Fickle(), [0, 1] * 20)
        ... except LawError as error:
        ...     print(error)
        law 2: a second call with the same labels gave another assignment
    """
