"""Named random streams that do not affect each other."""

from __future__ import annotations

from copy import copy
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from flskew.typing import Label

__all__ = ["Streams"]

_WORD, _MASK = (1 << 64) - 1, (1 << 128) - 1
# Of the multiplier of PCG64, modulo 2^128.
_INVERSE = pow(0x2360ED051FC65DA44385DF649FCCF645, -1, 1 << 128)


class Streams:
    """Independent random generators for one seed, each identified by a purpose and optionally by a class.

    A class's shares must not depend on the other classes or their order, so classes cannot share a generator. Each has
    a stream that depends only on the seed, the purpose and the label. Every call returns a new generator, at the start
    of its stream.

    Args:
        seed: Any integer.

    Examples:
        >>> from flskew.partitioners import Streams
        >>> streams = Streams(42)
        >>> sevens, eights = streams("shares", 7), streams("shares", 8)
        >>> sevens.random() == streams("shares", 7).random() != eights.random()
        True
    """

    def __init__(self, seed: int) -> None:
        self._prefix = f"flskew:1:{seed}:"

    def __call__(self, purpose: str, label: Label | None = None) -> np.random.Generator:
        """Return a new generator at the start of a stream.

        Args:
            purpose: What the numbers are for, such as `"shares"`; streams for different purposes are independent.
            label: The class that the numbers are for; 1 and "1" are different labels.
        """
        name = f"{self._prefix}{purpose}:{type(label).__name__}:{label}"
        return np.random.Generator(np.random.PCG64(_Digest(name)))  # type: ignore[arg-type]

    def part(self, purpose: str, *labels: Label) -> Streams:
        """Return the streams of one part of a split, such as the rows of one hospital.

        Args:
            purpose: What distinguishes the part, such as `"natural id"`.
            labels: What identifies it, such as `"Bern"`, in any order. The streams depend on nothing else.
        """
        words = sorted(f"{type(label).__name__}:{len(str(label))}:{label}" for label in labels)
        digest = blake2b(":".join([str(len(purpose)), purpose, *words]).encode(), digest_size=32).hexdigest()
        part = copy(self)
        part._prefix = f"{self._prefix}part:{digest}:"
        return part


class _Digest(ISeedSequence):
    """Uses the digest of a name as the state and increment of a PCG64, without further mixing.

    Making a PCG64 from NumPy's `SeedSequence` takes three times as long, and there may be a million classes.
    """

    def __init__(self, name: str) -> None:
        self._digest = blake2b(name.encode(), digest_size=32).digest()

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[Any]:
        """Return the four words from which PCG64 computes this state and this increment."""
        state, increment = int.from_bytes(self._digest[:16], "little"), int.from_bytes(self._digest[16:], "little") | 1
        # PCG64 sets its increment to 2 * sequence + 1 and its state to (increment + start) * multiplier + increment.
        start, sequence = ((state - increment) * _INVERSE - increment) & _MASK, increment >> 1
        words = (start >> 64, start & _WORD, sequence >> 64, sequence & _WORD)
        return np.array(words, dtype=dtype)
