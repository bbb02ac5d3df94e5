"""Named arrays in one file, with a checksum that detects any damage."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["digest", "read", "write"]

_SEAL_LENGTH = 32
_ZIP = b"PK"  # What every zip file begins with, so every .npz.


def digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a digest of 32 hex characters, the same on every machine."""
    state = blake2b(digest_size=16)
    for name, array in arrays.items():
        state.update(f"{name}:{array.dtype.kind}:{array.shape}:".encode())
        if array.dtype.kind == "U":
            # The strings themselves, for how wide NumPy stores them says nothing about them; each with its length,
            # since a string may hold whatever else would part it from the next.
            state.update("".join(f"{len(text)}:{text}" for text in array.ravel().tolist()).encode())
        else:
            plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            state.update(plain.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def write(path: str | os.PathLike[str], kind: str, version: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to exactly this path as `.npz`, atomically and without pickle.

    The comment of the zip file is the digest of every byte before it.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target} is in a folder that does not exist; create {target.parent} first")
    unfinished = target.with_name(f".{target.name}.{os.urandom(8).hex()}.tmp")
    stamp = {"kind": np.array(kind), "version": np.array(version)}
    try:
        with unfinished.open("w+b") as file:
            np.savez(file, **stamp, **arrays)  # type: ignore[arg-type]
            with zipfile.ZipFile(file, "a") as archive:
                archive.comment = bytes(_SEAL_LENGTH)
            seal = _digest_of_bytes(file)
            file.seek(-_SEAL_LENGTH, os.SEEK_END)
            file.write(seal)
            file.flush()
            os.fsync(file.fileno())  # else a crash may leave the name without its bytes
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: str | os.PathLike[str], kind: str, version: int) -> dict[str, NDArray[Any]]:
    """Read a file of `write`.

    Raises:
        ValueError: The file is damaged in any byte, of a later version, or holds something else.
        FileNotFoundError: The file does not exist.
    """
    problem = f"{os.fspath(path)} is not a whole file of a saved {kind}"
    with Path(path).open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            raise ValueError(f"{problem}, nor any .npz file; pass a file written by save()")
        if _digest_of_bytes(file) != file.read(_SEAL_LENGTH):
            raise ValueError(f"{problem}: its bytes are not those that were written; save it again")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    found, found_version = str(arrays.pop("kind")), int(arrays.pop("version"))
    if found != kind:
        raise ValueError(f"{problem}: it holds a saved {found}")
    if found_version > version:
        raise ValueError(f"{problem} of version {version} or below: it has version {found_version}; update flskew")
    return arrays


def _digest_of_bytes(file: IO[bytes]) -> bytes:
    """Return the digest of all bytes before the seal, and leave the file position there."""
    state = blake2b(digest_size=_SEAL_LENGTH // 2)
    left = max(file.seek(0, os.SEEK_END) - _SEAL_LENGTH, 0)
    file.seek(0)
    while left > 0:
        chunk = file.read(min(left, 1 << 20))
        state.update(chunk)
        left -= len(chunk)
    return state.hexdigest().encode()
