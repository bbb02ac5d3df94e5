"""Named arrays in one file that can be damaged, but never unnoticed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["digest", "read", "write"]


def digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return 32 hex characters that tell these arrays from any others, the same on every machine."""
    state = blake2b(digest_size=16)
    for name, array in arrays.items():
        state.update(f"{name}:{array.dtype.kind}:{array.shape}:".encode())
        if array.dtype.kind == "U":
            # The strings themselves: how wide NumPy stores them says nothing about them.
            state.update("\0".join(array.ravel().tolist()).encode())
        else:
            plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            state.update(plain.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def write(path: str | os.PathLike[str], kind: str, version: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to exactly this path as `.npz`, without pickle; whoever reads it finds all of it or none."""
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    stamp = {"kind": np.array(kind), "version": np.array(version), "digest": np.array(digest(arrays))}
    try:
        with unfinished.open("wb") as file:
            np.savez(file, **stamp, **arrays)  # type: ignore[arg-type]
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: str | os.PathLike[str], kind: str, version: int) -> dict[str, NDArray[Any]]:
    """Read what `write` wrote.

    Raises:
        ValueError: The file is damaged, of a later version, or holds something else.
        FileNotFoundError: There is no such file.
    """
    problem = f"{os.fspath(path)} is not a whole file of a saved {kind}"
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        found = str(arrays.pop("kind")), int(arrays.pop("version")), str(arrays.pop("digest"))
    except FileNotFoundError:
        raise
    # Each flipped byte surfaces as whichever of these the zip and array readers stumble over.
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile,
            NotImplementedError, MemoryError, RuntimeError) as error:  # fmt: skip
        raise ValueError(f"{problem} ({type(error).__name__}: {error}); save it again") from None
    if found[0] != kind:
        raise ValueError(f"{problem}: it holds a saved {found[0]}")
    if found[1] > version:
        raise ValueError(f"{problem} of version {version} or below: it has version {found[1]}; update flskew")
    if found[2] != digest(arrays):
        raise ValueError(f"{problem}: its content does not have the digest it was saved with; save it again")
    return arrays
