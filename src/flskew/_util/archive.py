"""Named arrays in one file, with a checksum that detects any damage and, with a key, a seal that detects any change."""

from __future__ import annotations

import hmac
import io
import math
import os
import zipfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flskew._util import files

__all__ = ["DamagedError", "digest", "read", "write"]

# The comment at the end of the zip file: with a key, the seal of all bytes before it; then the checksum of all bytes
# before that.
_SEAL_LENGTH = 64
_CHECKSUM_LENGTH = 32
_ZIP = b"PK"  # What every zip file begins with, so every .npz.
_END = b"PK\x05\x06"
_END_LENGTH = 22
_SUFFIX = ".npy"
_NPY_VERSION = (1, 0)


class DamagedError(ValueError):
    """A file differs from what was written."""


def digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a digest of 32 hex characters, the same on every machine."""
    state = blake2b(digest_size=16)
    for name, array in arrays.items():
        state.update(f"{name}:{array.dtype.kind}:{array.shape}:".encode())
        if array.dtype.kind == "U":
            # Hash the strings themselves, because NumPy's storage width is irrelevant, and each with its length,
            # because a string may contain any separator.
            state.update("".join(f"{len(text)}:{text}" for text in array.ravel().tolist()).encode())
        else:
            plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            state.update(plain.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def write(
    path: str | os.PathLike[str], kind: str, version: int, arrays: Mapping[str, NDArray[Any]], key: bytes | None = None
) -> None:
    """Write arrays to exactly this path as `.npz`, atomically and without pickle.

    Raises:
        FileNotFoundError: The folder does not exist.
        OSError: The file cannot be written; an existing one is unchanged.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target} is in a folder that does not exist; create {target.parent} first")
    stamp = {"kind": np.array(kind), "version": np.array(version)}
    with files.replacing(target) as file:
        sealed = _Sealed(file, key)
        with zipfile.ZipFile(sealed, "w") as archive:
            for name, array in {**stamp, **arrays}.items():
                # A ZipInfo has a constant date, so equal arrays make equal files.
                with archive.open(zipfile.ZipInfo(name + _SUFFIX), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), _NPY_VERSION, allow_pickle=False)
            archive.comment = bytes(sealed.kept_back)
        sealed.finish()


def read(path: str | os.PathLike[str], kind: str, version: int, key: bytes | None = None) -> dict[str, NDArray[Any]]:
    """Read a file made by `write`, without allocating an array larger than the file.

    Raises:
        DamagedError: A byte of the file is damaged, or it declares sizes that do not match its contents.
        ValueError: It has a later version, contains something else, or was not sealed with this key.
        FileNotFoundError: The file does not exist.
    """
    problem = f"{os.fspath(path)} is not a valid {kind} file"
    with files.open_existing(Path(path)) as file:
        if file.read(len(_ZIP)) != _ZIP:
            raise DamagedError(f"{problem}: it is not .npz; pass a file written by save()")
        _check_seals(file, key, problem, os.fspath(path))
        try:
            arrays = _arrays(file)
            found, found_version = str(arrays.pop("kind")), int(arrays.pop("version"))
        except (OSError, MemoryError):  # problems of the machine, not of the file
            raise
        except Exception as error:  # zipfile and NumPy's header parser raise many types
            raise DamagedError(f"{problem}: {error!s:.200}") from error
    if found != kind:
        raise ValueError(f"{problem}: it contains a saved {found:.40}")
    if found_version > version:
        raise ValueError(f"{problem}: it has version {found_version}, later than {version}; update flskew")
    return arrays


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Sealed(io.RawIOBase):
    """Passes on what is written, but replaces the end of the zip file with the seal and the checksum."""

    def __init__(self, file: IO[bytes], key: bytes | None) -> None:
        self._file, self._checksum, self._seal = file, _checksum(), None if key is None else _seal(key)
        self.kept_back = _CHECKSUM_LENGTH + (0 if key is None else _SEAL_LENGTH)
        self._end = b""

    def write(self, data: Any, /) -> int:
        written = memoryview(data).cast("B")
        excess = len(self._end) + len(written) - self.kept_back
        if excess > 0:
            first = self._end[:excess]
            self._pass_on(memoryview(first))
            self._pass_on(written[: excess - len(first)])
            self._end = self._end[len(first) :] + bytes(written[excess - len(first) :])
        else:
            self._end += bytes(written)
        return len(written)

    def finish(self) -> None:
        """Write the seal and the checksum."""
        if self._seal is not None:
            self._pass_on(memoryview(self._seal.hexdigest().encode()))
        files.write(self._file, self._checksum.hexdigest().encode())

    def _pass_on(self, data: memoryview) -> None:
        if not data:
            return
        self._checksum.update(data)
        if self._seal is not None:
            self._seal.update(data)
        files.write(self._file, data)


def _checksum() -> _Hash:
    return blake2b(digest_size=_CHECKSUM_LENGTH // 2)


def _seal(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _check_seals(file: IO[bytes], key: bytes | None, problem: str, name: str) -> None:
    length = file.seek(0, os.SEEK_END)
    if _hash_of(file, length - _CHECKSUM_LENGTH, _checksum()) != file.read(_CHECKSUM_LENGTH):
        raise DamagedError(f"{problem}: its bytes differ from those written; save it again")
    comment = _SEAL_LENGTH + _CHECKSUM_LENGTH
    file.seek(max(length - comment - _END_LENGTH, 0))
    end = file.read(_END_LENGTH)
    is_sealed = end.startswith(_END) and end.endswith(comment.to_bytes(2, "little"))
    if key is None:
        if is_sealed:
            raise ValueError(f"{name} was sealed with a key; pass the same key to read it")
        return
    if not is_sealed:
        raise ValueError(f"{name} was written without a key; pass no key if you trust whoever wrote it")
    if not hmac.compare_digest(_hash_of(file, length - comment, _seal(key)), file.read(_SEAL_LENGTH)):
        raise ValueError(f"{name} was sealed with another key, or changed by someone without it; pass the right key")


def _hash_of(file: IO[bytes], length: int, state: _Hash) -> bytes:
    """Return the hash of the first bytes, and leave the file position after them."""
    left = max(length, 0)
    file.seek(0)
    while left > 0:
        chunk = file.read(min(left, 1 << 20))
        if not chunk:
            break
        state.update(memoryview(chunk))
        left -= len(chunk)
    return state.hexdigest().encode()


def _arrays(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a zip file, after checking that all of them together fit into it."""
    length = file.seek(0, os.SEEK_END)
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > length:
            raise ValueError("its arrays are larger than the file")
        for entry in entries:
            name = entry.filename.removesuffix(_SUFFIX)
            if name in arrays or name == entry.filename:
                raise ValueError(f"{entry.filename!r:.80} is a duplicate, or not an array")
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise ValueError(f"{entry.filename!r:.80} is compressed")
            with archive.open(entry) as stored:
                _check_size(stored, entry.file_size)
            with archive.open(entry) as stored:
                arrays[name] = np.lib.format.read_array(stored, allow_pickle=False)
    return arrays


def _check_size(stored: IO[bytes], length: int) -> None:
    """Refuse a .npy file whose header declares more or less data than follows."""
    version = np.lib.format.read_magic(stored)
    if version != _NPY_VERSION:
        raise ValueError(f"an array has version {version} of the .npy format")
    try:
        shape, _, dtype = np.lib.format.read_array_header_1_0(stored)
    except MemoryError:  # raised by Python's parser if brackets are nested too deeply
        raise ValueError("the header of an array is nested too deeply") from None
    size = math.prod(shape)
    # The second rule is for items of zero bytes.
    if size * dtype.itemsize != length - stored.tell() or size > length:
        raise ValueError(f"an array declares shape {shape!s:.80} and dtype {dtype!s:.80}, which do not match its size")
