"""Files are replaced whole or not at all, and a lock lasts as long as its process."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flskew._util import files

STEPS = ("create", "copy_mode", "write", "sync", "close", "rename", "sync_folder")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")


def replace(path: Path, data: bytes) -> None:
    with files.replacing(path) as file:
        files.write(file, data)


def failing(monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException, *, after: bool = False) -> None:
    original = getattr(files, step)

    def fails(*args: Any) -> None:
        if after:
            original(*args)
        raise error

    monkeypatch.setattr(files, step, fails)


@pytest.mark.parametrize("before", [b"", b"old"], ids=["new", "replaced"])
@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_at_any_step_leaves_the_old_file_or_none(
    step: str, before: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    if before:
        path.write_bytes(before)
    with monkeypatch.context() as patched:
        failing(patched, step, OSError(errno.ENOSPC, "No space left on device"), after=step == "close")
        with pytest.raises(OSError, match=r"file was not written: No space left on device") as caught:
            replace(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    expected = {"file": b"new" if step == "sync_folder" else before}
    assert {name: (tmp_path / name).read_bytes() for name in files.names(tmp_path)} == (
        expected if any(expected.values()) else {}
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_the_error_of_a_really_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "create", lambda path: Path("/dev/full").open("wb"))  # noqa: SIM115
    monkeypatch.setattr(files, "copy_mode", lambda source, target: None)
    with pytest.raises(OSError, match="file was not written: No space left on device"):
        replace(tmp_path / "file", bytes(100))


def test_the_folder_is_synced_after_the_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for step in STEPS:
        original = getattr(files, step)
        monkeypatch.setattr(
            files, step, lambda *args, step=step, original=original: seen.append(step) or original(*args)
        )
    replace(tmp_path / "file", b"new")
    assert seen == list(STEPS)


@posix_only
def test_a_replaced_file_keeps_its_mode_and_a_new_one_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace(tmp_path / "new", b"")
        (tmp_path / "shared").touch()
        (tmp_path / "shared").chmod(0o664)
        replace(tmp_path / "shared", b"")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "shared")] == [0o640, 0o664]


@posix_only
def test_a_private_file_is_private_before_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "private").touch(0o600)
    seen = []
    original = files.write

    def write(file: Any, data: Any) -> None:
        seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        original(file, data)

    monkeypatch.setattr(files, "write", write)
    replace(tmp_path / "private", b"secret")
    assert seen == [0o600]


def test_a_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert files.names(tmp_path / "a") == ["b"]


def test_a_lock_also_excludes_its_own_process_and_names_its_owner(tmp_path: Path) -> None:
    held = files.lock(tmp_path / ".lock", "the first\x1b[31m")
    assert held.is_exclusive
    with pytest.raises(BlockingIOError):
        files.lock(tmp_path / ".lock", "the second")
    assert files.owner(tmp_path / ".lock") == "the first[31m"
    files.unlock(held)
    files.unlock(files.lock(tmp_path / ".lock", "third"))
    assert files.owner(tmp_path / ".lock") == "third"
    assert files.owner(tmp_path / "none") == ""


HOLDS = "import sys; from pathlib import Path; from flskew._util import files; files.lock(Path(sys.argv[1]), 'other'); "


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path, python: str) -> None:
    path = tmp_path / ".lock"
    code = HOLDS + "print('locked', flush=True); input()"
    with subprocess.Popen(
        [python, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(BlockingIOError):
            files.lock(path, "mine")
        other.kill()
    files.unlock(files.lock(path, "mine"))


@posix_only
def test_a_forked_worker_that_outlives_its_run_does_not_keep_the_lock(tmp_path: Path, python: str) -> None:
    path = tmp_path / ".lock"
    # The process that holds the lock dies only once its worker runs.
    code = (
        HOLDS
        + """
import os
started, starts = os.pipe()
if os.fork():
    os.read(started, 1)
else:
    os.write(starts, b".")
    sys.stdin.read()
os.kill(os.getpid(), 9)
"""
    )
    with subprocess.Popen([python, "-c", code, str(path)], stdin=subprocess.PIPE) as other:
        assert other.wait(60) == -9  # the worker still waits
        files.unlock(files.lock(path, "mine"))
        assert other.stdin is not None


@posix_only
def test_a_file_system_without_locks_is_distinguished_from_a_lock_that_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def fail_with(error: int) -> None:
        def flock(descriptor: int, operation: int) -> None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(fcntl, "flock", flock)

    for error in (errno.ENOLCK, errno.ENOSYS):
        fail_with(error)
        held = files.lock(tmp_path / ".lock", "mine")
        assert not held.is_exclusive
        files.unlock(held)
    fail_with(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        files.lock(tmp_path / ".lock", "mine")


@posix_only
def test_a_folder_that_cannot_be_synced_is_left_unsynced_and_a_broken_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (errno.EINVAL, errno.EBADF, errno.EACCES):
        monkeypatch.setattr(os, "fsync", refusing(error))
        files.sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        files.sync_folder(tmp_path)


def refusing(error: int) -> Callable[[int], None]:
    def fsync(descriptor: int) -> None:
        raise OSError(error, os.strerror(error))

    return fsync


FORKS = """
import os, sys
from pathlib import Path
from flskew._util import files

held = files.lock(Path(sys.argv[1]), "this run")
if os.fork() == 0:
    os.dup2(os.open(os.devnull, os.O_RDONLY), held.descriptor)
    files.unlock(held)
    os.fstat(held.descriptor)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_a_forked_process_that_unlocks_closes_no_file_that_has_taken_the_number(tmp_path: Path, python: str) -> None:
    subprocess.run([python, "-c", FORKS, str(tmp_path / ".lock")], check=True)
