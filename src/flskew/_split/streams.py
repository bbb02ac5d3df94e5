"""Random streams, each known by its name: what one draws never depends on how much another drew."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from flskew.typing import Label

__all__ = ["Streams"]


class Streams:
    """Independent generators for one seed, each named by a purpose and, where it serves one class, its label.

    A class's shares must not depend on which other classes there are, nor on their order, so a class cannot draw
    from a generator that all classes share: it has one of its own, reached from the seed, the purpose and the label
    alone. The name is hashed into the state of a PCG64.

    Making a generator costs five times what aiming an old one anew does, and there may be a million classes: one
    generator is made, and each call aims it. So draw what is needed before asking for the next stream.

    Args:
        seed: Any integer.

    Examples:
        >>> streams = Streams(42)
        >>> first = streams("shares", 7).random()
        >>> other = streams("shares", 8).random()
        >>> first == streams("shares", 7).random() != other
        True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._prefix = f"flskew:1:{seed}:"
        self._bits = np.random.PCG64(0)
        self._generator = np.random.Generator(self._bits)

    def copy(self) -> Streams:
        """Return the same streams with a generator of their own, for another thread."""
        return Streams(self._seed)

    def __call__(self, purpose: str, label: Label | None = None) -> np.random.Generator:
        """Return the generator, at the start of the stream of this name."""
        name = f"{self._prefix}{purpose}:{type(label).__name__}:{label}"
        digest = blake2b(name.encode(), digest_size=32).digest()
        self._bits.state = {
            "bit_generator": "PCG64",
            "state": {
                "state": int.from_bytes(digest[:16], "little"),
                "inc": int.from_bytes(digest[16:], "little") | 1,
            },
            "has_uint32": 0,
            "uinteger": 0,
        }
        return self._generator
