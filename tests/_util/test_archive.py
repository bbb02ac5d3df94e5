"""A malicious file takes no more memory than its size allows, and is refused with an error that names it."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flskew._util import archive, files

MIB = 1 << 20


def sealed(path: Path, data: bytes) -> Path:
    """Write the bytes of a zip file with a comment of 32 bytes, and put the right checksum there."""
    state = archive._checksum()
    state.update(memoryview(data[:-32]))
    path.write_bytes(data[:-32] + state.hexdigest().encode())
    return path


def zipped(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as stored:
        for name, data in (("kind.npy", npy(np.array("thing"))), ("version.npy", npy(np.array(1))), *entries):
            stored.writestr(name, data)
        stored.comment = bytes(32)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: str, descr: str = "'|u1'", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def nested() -> bytes:
    """A hundred entries, each of which is the data of the next: 900 KB that are declared a hundred times."""
    data, directory = bytes(900_000), []
    for number in range(100):
        stored = header(f"({len(data)},)") + data
        name = f"{number}.npy".encode()
        about = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(stored), len(stored), len(stored), len(name), 0)
        data = b"PK\x03\x04" + about + name + stored
        directory.append((about, name, len(data)))
    entries = b"".join(
        b"PK\x01\x02\x14\x00" + about + struct.pack("<HHHII", 0, 0, 0, 0, len(data) - length) + name
        for about, name, length in directory
    )
    end = struct.pack("<HHHHIIH", 0, 0, len(directory), len(directory), len(entries), len(data), 32)
    return data + entries + b"PK\x05\x06" + end + bytes(32)


def encrypted() -> bytes:
    whole = bytearray(zipped(("a.npy", npy(np.zeros(3)))))
    whole[whole.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(whole)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "compressed zeros": lambda: zipped(
        ("a.npy", header("(200000000,)") + bytes(200_000_000)), compression=zipfile.ZIP_DEFLATED
    ),
    "an array larger than its entry": lambda: zipped(("a.npy", header("(2000000000,)") + bytes(MIB))),
    "a size beyond any integer": lambda: zipped(("a.npy", header(f"({10**30}, 0)") + bytes(MIB))),
    "a size that overflows to the right one": lambda: zipped(("a.npy", header(f"({2**33}, {2**31}, 4)"))),
    "an array smaller than its entry": lambda: zipped(("a.npy", header("(3,)") + bytes(MIB))),
    "a billion empty items": lambda: zipped(("a.npy", header("(1000000000,)", "'|V0'"))),
    "a negative side": lambda: zipped(("a.npy", header("(-1, -8)") + bytes(8))),
    "objects": lambda: zipped(("a.npy", header("(1,)", "'|O'") + bytes(8))),
    "a text for a shape": lambda: zipped(("a.npy", header("'x'"))),
    "a header that is nested": lambda: zipped(("a.npy", header("(" * 5000 + ")" * 5000))),
    "a header of signs": lambda: zipped(("a.npy", header("-" * 9_000 + "1"))),
    "a header without an end": lambda: zipped(("a.npy", header("(1,)").replace(b"}", b"("))),
    "a long header": lambda: zipped(("a.npy", header("(" + "1, " * 15_000 + ")"))),
    "another version of .npy": lambda: zipped(("a.npy", header("(1,)", version=b"\x02\x00") + bytes(1))),
    "no array": lambda: zipped(("a.npy", b"no array")),
    "another file": lambda: zipped(("a.txt", b"text")),
    "two of one name": lambda: zipped(("a.npy", npy(np.zeros(1))), ("a.npy", npy(np.zeros(1)))),
    "the kind twice": lambda: zipped(("kind.npy", npy(np.array("thing")))),
    "entries inside entries": nested,
    "a little that is compressed": lambda: zipped(
        ("a.npy", header("(10,)") + bytes(10)), compression=zipfile.ZIP_DEFLATED
    ),
    "no zip file": lambda: b"PK" + bytes(MIB),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_before_memory_is_allocated(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = sealed(tmp_path / "file.npz", make())
    assert path.stat().st_size < 2 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(archive.DamagedError, match=r"file.npz is not a valid thing file") as caught:
            archive.read(path, "thing", 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB
    assert len(str(caught.value)) < 1000


def test_a_file_of_many_empty_arrays_takes_little_memory(tmp_path: Path) -> None:
    entries = [(f"{number}.npy", header("(0,)")) for number in range(8_000)]
    path = sealed(tmp_path / "file.npz", zipped(*entries))
    assert MIB < path.stat().st_size < 2 * MIB
    tracemalloc.start()
    try:
        assert len(archive.read(path, "thing", 1)) == 8_000
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()


VALID = zipped(("a.npy", npy(np.arange(6.0).reshape(2, 3))), ("b.npy", npy(np.array(["x", "yz"]))))


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 33), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_change_with_the_right_checksum_gives_arrays_or_a_value_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    state = archive._checksum()
    state.update(memoryview(data)[:-32])
    data[-32:] = state.hexdigest().encode()
    with warnings.catch_warnings(), mock.patch.object(files, "open_existing", return_value=io.BytesIO(data)):
        warnings.simplefilter("ignore")  # NumPy's, about old formats
        with contextlib.suppress(ValueError):  # and nothing else
            archive.read("file", "thing", 1)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_with_an_error_that_names_the_file(data: bytes) -> None:
    for key in (None, b"sixteen letters!"):
        file = io.BytesIO(b"PK" + data)
        with (
            mock.patch.object(files, "open_existing", return_value=file),
            pytest.raises(ValueError, match=r"^file is not a valid thing file"),
        ):
            archive.read("file", "thing", 1, key)


@given(st.lists(st.integers(0, 100)), st.booleans())
def test_a_file_sealed_piece_by_piece_contains_what_was_written(lengths: list[int], has_key: bool) -> None:
    written, file = b"", io.BytesIO()
    out = archive._Sealed(file, b"sixteen letters!" if has_key else None)
    for number, length in enumerate(lengths):
        out.write(bytes([number % 256]) * length)
        written += bytes([number % 256]) * length
    out.finish()
    sealed_length = 96 if has_key else 32
    assert file.getvalue()[:-sealed_length] == written[:-sealed_length]
    assert len(file.getvalue()) == sealed_length + max(len(written) - sealed_length, 0)


def test_equal_arrays_make_equal_files(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yz"])}
    for name in ("one", "two"):
        archive.write(tmp_path / name, "thing", 1, arrays)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3), order="F"), np.zeros((0, 10**6)), np.zeros((), "V0"), np.zeros(3, [("x", "<f4"), ("y", "U2")])],
    ids=["Fortran order", "empty", "no bytes", "structured"],
)
@pytest.mark.parametrize("key", [None, b"sixteen letters!"])
def test_unusual_arrays_survive_the_round_trip(array: Any, key: bytes | None, tmp_path: Path) -> None:
    archive.write(tmp_path / "file", "thing", 1, {"a": array}, key)
    back = archive.read(tmp_path / "file", "thing", 1, key)["a"]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert back.flags.writeable


@pytest.mark.parametrize("place", range(2, 800, 7))
def test_any_change_of_a_sealed_file_is_an_error(place: int, tmp_path: Path) -> None:
    key = b"sixteen letters!"
    archive.write(tmp_path / "file", "thing", 1, {"a": np.arange(3)}, key)
    data = bytearray((tmp_path / "file").read_bytes())
    assert len(data) > 800
    data[place] ^= 1
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(archive.DamagedError):
        archive.read(tmp_path / "file", "thing", 1, key)
    state = archive._checksum()
    state.update(memoryview(data)[:-32])  # anyone who changes a file can correct the checksum, but not the seal
    (tmp_path / "file").write_bytes(data[:-32] + state.hexdigest().encode())
    with pytest.raises(ValueError, match="was sealed with another key, or changed by someone without it"):
        archive.read(tmp_path / "file", "thing", 1, key)


def test_the_error_of_a_file_of_another_kind_names_that_kind(tmp_path: Path) -> None:
    archive.write(tmp_path / "file", "checkpoint", 1, {})
    with pytest.raises(ValueError, match=r"file is not a valid thing file: it contains a saved checkpoint"):
        archive.read(tmp_path / "file", "thing", 1)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()], ids=["disk", "memory"])
def test_a_failure_of_the_machine_is_not_taken_for_damage(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise error

    archive.write(tmp_path / "file", "thing", 1, {})
    monkeypatch.setattr(np.lib.format, "read_array", fails)
    with pytest.raises(type(error)):
        archive.read(tmp_path / "file", "thing", 1)
