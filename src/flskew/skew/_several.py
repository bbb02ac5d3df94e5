"""Several splits, each with a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flskew.assignment import Assignment
from flskew.skew.tally import Split, Tally

__all__ = ["named_splits"]


def named_splits(splits: Mapping[str, Split] | Iterable[Split], *, prefix: str, instead: str) -> dict[str, Split]:
    """Return splits by name; those in a list are named by `prefix` and their position.

    Raises:
        TypeError: `splits` is a single split, in which case the error recommends the function `instead`, or no split.
        ValueError: There are no splits, or two have the same name.
    """
    single = hasattr(splits, "__array__") or isinstance(splits, Assignment | Tally)
    if single or isinstance(splits, str) or not isinstance(splits, Iterable):
        raise TypeError(
            f"splits must be a list or a mapping of splits, got a single {type(splits).__name__}; use {instead}"
        )
    named = dict(splits) if isinstance(splits, Mapping) else {f"{prefix}{i}": split for i, split in enumerate(splits)}
    if not named:
        raise ValueError("splits must contain at least one split, got none")
    names = [str(name) for name in named]
    if len(set(names)) < len(names):
        raise ValueError(f"splits must have distinct names, got {', '.join(names)}")
    return dict(zip(names, named.values(), strict=True))
