"""The folder of a run: locked, intact after a full disk, and readable if one of its files is damaged."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import strategy as flower
from tests.strategies.test_checkpoints import (
    INITIAL,
    NODES,
    ROUNDS,
    Breaks,
    app,
    fed_avg,
    outcome,
    run,
    run_plain,
    without_times,
)  # fmt: skip

from flskew._util import archive, files
from flskew.simulation import LocalGrid
from flskew.strategies import BestModel, Checked, Checkpoint, FedAvg, FedProx, Round
from flskew.strategies._packing import pack, unpack

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows asks for a privilege to make links")


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=4)
    assert [path.name for path in sorted(tmp_path.glob("checkpoint-*"))] == [
        "checkpoint-00003.npz",
        "checkpoint-00004.npz",
    ]


def test_a_run_with_a_damaged_checkpoint_resumes_from_the_previous_one(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    whole = fed_avg()
    expected = outcome(run(whole, None), whole.history)
    run(fed_avg(), tmp_path, rounds=3)
    damage(tmp_path / "checkpoint-00003.npz")
    assert Checkpoint.load(tmp_path).server_round == 2
    wanted = "checkpoint-00003.npz is not a valid checkpoint file: its bytes differ from those written"
    assert wanted in log.text
    assert "Everything after round 2 is lost" in log.text
    strategy = fed_avg()
    assert outcome(run(strategy, tmp_path, resume=True), strategy.history) == expected
    log.clear()
    assert Checkpoint.load(tmp_path).server_round == ROUNDS
    assert log.text == ""


def test_a_folder_of_damaged_checkpoints_is_an_error_that_names_them(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=2)
    for server_round in (1, 2):
        damage(tmp_path / f"checkpoint-0000{server_round}.npz")
    wanted = "checkpoint-00002.npz is not a valid checkpoint file: .*; .*checkpoint-00001.npz is not a valid"
    with pytest.raises(ValueError, match=wanted):
        run(fed_avg(), tmp_path, resume=True)
    with pytest.raises(FileExistsError):
        run(fed_avg(), tmp_path)


@pytest.mark.parametrize("loss", ["damaged", "missing", "of another round", "of another run"])
def test_a_lost_history_does_not_affect_the_model(loss: str, tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    whole = fed_avg()
    expected = outcome(run(whole, None), whole.history)
    run(fed_avg(), tmp_path / "run", rounds=3)
    lost = tmp_path / "run" / "history-00002.npz"
    if loss == "damaged":
        damage(lost)
    elif loss == "missing":
        lost.unlink()
    elif loss == "of another round":
        shutil.copy(tmp_path / "run" / "history-00001.npz", lost)
    else:
        run(fed_avg(), tmp_path / "other", rounds=2)
        shutil.copy(tmp_path / "other" / "history-00002.npz", lost)
    checkpoint = Checkpoint.load(tmp_path / "run")
    assert (checkpoint.server_round, checkpoint.lost_rounds) == (3, (2,))
    assert "The history of round 2 is lost, but the model is intact: " in log.text
    assert "history-00002.npz" in log.text
    assert {entry.server_round for entry in checkpoint.history} == {1, 3}
    strategy = fed_avg()
    resumed = outcome(run(strategy, tmp_path / "run", resume=True), strategy.history)
    kept = [without_times(entry) for entry in whole.history if entry.server_round != 2]
    assert resumed == expected | {"history": repr(kept)}


@pytest.mark.parametrize("name", ["checkpoint-00001.npz", "history-00001.npz"])
def test_files_have_version_1_and_later_versions_are_refused(name: str, tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    written = archive.read(tmp_path / name, "checkpoint", 1)
    archive.write(tmp_path / name, "checkpoint", 1, written)
    assert Checkpoint.load(tmp_path).server_round == 1
    archive.write(tmp_path / name, "checkpoint", 2, written)
    with pytest.raises(ValueError, match=f"{name} is not .*: it has version 2, later than 1; update flskew"):
        Checkpoint.load(tmp_path)


def test_a_second_run_in_the_folder_of_an_active_one_is_refused_and_the_error_names_it(tmp_path: Path) -> None:
    refused: list[str] = []

    def start_another(server_round: int, arrays: ArrayRecord) -> None:
        for resume in (False, True):
            with pytest.raises(RuntimeError, match="another run is using") as caught:
                run(fed_avg(), tmp_path, resume=resume)
            refused.append(str(caught.value))

    with LocalGrid(app, NODES) as grid:
        fed_avg().start(grid, INITIAL, 1, evaluate_fn=start_another, checkpoint_dir=tmp_path)
    assert len(refused) == 4
    wanted = (
        rf"another run is using checkpoint_dir=.*: process {os.getpid()} on .* since \d{{4}}-.*; wait until it ends"
    )
    assert all(re.match(wanted, message) for message in refused)
    assert Checkpoint.load(tmp_path).server_round == 1
    run(fed_avg(), tmp_path, rounds=2, resume=True)


@pytest.mark.parametrize("ends", ["returns", "refused", "cannot load", "fails in summary", "fails in round 1"])
def test_the_folder_is_unlocked_however_a_start_ends(
    ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise Breaks

    if ends == "refused":
        run(fed_avg(), tmp_path, rounds=1)
    with monkeypatch.context() as patched:
        if ends == "fails in summary":
            patched.setattr(FedAvg, "summary", fails)
        if ends == "fails in round 1":
            patched.setattr(FedAvg, "aggregate_train", fails)
        if ends == "cannot load":
            patched.setattr(FedAvg, "load_state_dict", fails)
        try:
            run(fed_avg(), tmp_path, rounds=1, resume=ends == "cannot load")
        except (Breaks, FileExistsError):
            assert ends != "returns"
        else:
            assert ends == "returns"
    run(fed_avg(), tmp_path, rounds=1, resume=True)


RACES = """
import sys
from pathlib import Path
from tests.strategies import test_checkpoints as here

for _ in sys.stdin:  # one line for each race, with the name of its folder
    try:
        here.run_plain(here.Checked(here.flower.FedAvg()), 2, checkpoint_dir=_.strip())
    except (RuntimeError, FileExistsError) as error:
        print(type(error).__name__, str(error).partition(" ")[0], flush=True)
    else:
        print("won", flush=True)
"""


@pytest.mark.parametrize("races", [5, pytest.param(200, marks=pytest.mark.long)])
def test_of_two_runs_started_at_the_same_time_exactly_one_gets_the_folder(
    races: int, tmp_path: Path, python: str
) -> None:
    alone = Checked(flower.FedAvg())
    model = run_plain(alone, 2)
    with ExitStack() as stack:
        racers = [
            stack.enter_context(
                subprocess.Popen(
                    [python, "-c", RACES],
                    cwd=Path(__file__).parents[2],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        for race in range(races):
            folder = tmp_path / str(race)
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"{folder}\n")
                racer.stdin.flush()
            ends = sorted(racer.stdout.readline().strip() for racer in racers if racer.stdout is not None)
            assert ends in (
                ["RuntimeError another", "won"],
                ["FileExistsError checkpoint_dir=" + repr(str(folder)), "won"],
            )
            checkpoint = Checkpoint.load(folder)
            assert (checkpoint.server_round, checkpoint.lost_rounds) == (2, ())
            assert checkpoint.result.arrays["w"].data == model


def test_a_run_whose_folder_is_replaced_stops_at_its_next_save(tmp_path: Path) -> None:
    def removes(server_round: int, arrays: ArrayRecord) -> None:
        if server_round == 1:
            shutil.rmtree(tmp_path / "run")
            run(fed_avg(), tmp_path / "run", rounds=2)

    wanted = r"another run has taken over checkpoint_dir=.*; give each run its own"
    with LocalGrid(app, NODES) as grid, pytest.raises(RuntimeError, match=wanted):
        fed_avg().start(grid, INITIAL, 3, evaluate_fn=removes, checkpoint_dir=tmp_path / "run")
    assert Checkpoint.load(tmp_path / "run").server_round == 2


def test_a_file_system_without_locks_is_logged_and_a_later_run_ends_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "_lock", lambda descriptor: False)

    def start_another(server_round: int, arrays: ArrayRecord) -> None:
        if server_round == 1:
            run(fed_avg(), tmp_path, rounds=2)

    with LocalGrid(app, NODES) as grid, pytest.raises(RuntimeError, match="another run has taken over"):
        fed_avg().start(grid, INITIAL, 3, evaluate_fn=start_another, checkpoint_dir=tmp_path)
    assert "does not support locks; make sure that no other run uses this folder" in log.text
    assert Checkpoint.load(tmp_path).server_round == 2


def test_a_folder_that_cannot_be_locked_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"checkpoint_dir=.* is not writable: No space left on device"):
        run(fed_avg(), tmp_path)
    monkeypatch.undo()
    run(fed_avg(), tmp_path, rounds=1)


@pytest.mark.parametrize("step", ["create", "write", "sync", "close", "rename", "sync_folder"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_full_disk_ends_the_run_with_an_error_that_names_the_round_and_the_folder_still_loads(
    step: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fed_avg()
    expected = outcome(run(whole, None), whole.history)
    run(fed_avg(), tmp_path, rounds=2)
    left, original = iter(range(1, count)), getattr(files, step)

    def full(*args: Any) -> Any:
        if next(left, None) is not None:
            return original(*args)
        if step == "close":
            original(*args)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, step, full)
        with pytest.raises(OSError, match=r"could not save round 3: .*npz was not written: No space left.*; free"):
            run(fed_avg(), tmp_path, resume=True)
    assert Checkpoint.load(tmp_path).server_round == (3 if (step, count) == ("sync_folder", 2) else 2)
    assert [path.name for path in tmp_path.glob(".*")] == [".lock"]
    strategy = fed_avg()
    assert outcome(run(strategy, tmp_path, resume=True), strategy.history) == expected


KEY = b"sixteen letters!"


def test_files_written_or_changed_without_the_key_are_refused(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path / "sealed", rounds=2, checkpoint_key=KEY)
    run(fed_avg(), tmp_path / "open", rounds=2)
    assert Checkpoint.load(tmp_path / "sealed", key=KEY).server_round == 2
    with pytest.raises(ValueError, match=r"checkpoint-00002.npz was sealed with a key; pass the same key to read it"):
        Checkpoint.load(tmp_path / "sealed")
    with pytest.raises(ValueError, match=r"was sealed with another key, or changed by someone without it"):
        run(fed_avg(), tmp_path / "sealed", resume=True, checkpoint_key=KEY[::-1])
    for name in ("history-00001.npz", "checkpoint-00002.npz"):
        shutil.copy(tmp_path / "open" / name, tmp_path / "sealed" / name)
        with pytest.raises(ValueError, match=rf"{name} was written without a key; pass no key if you trust whoever wr"):
            Checkpoint.load(tmp_path / "sealed", key=KEY)


def test_a_run_with_a_key_resumes_with_it(tmp_path: Path) -> None:
    whole, resumed = fed_avg(), fed_avg()
    expected = outcome(run(whole, None), whole.history)
    run(fed_avg(), tmp_path, rounds=2, checkpoint_key=KEY)
    assert outcome(run(resumed, tmp_path, resume=True, checkpoint_key=KEY), resumed.history) == expected


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("sixteen letters!", TypeError, r"must be bytes, got a str; secrets.token_bytes\(32\) makes a key"),
        (b"short", ValueError, "must have at least 16 bytes, got 5; secrets"),
    ],
)
def test_a_key_that_is_text_or_too_short_is_refused(
    key: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=f"checkpoint_key {message}"):
        run(fed_avg(), tmp_path / "run", checkpoint_key=key)
    with pytest.raises(error, match=f"key {message}"):
        Checkpoint.load(tmp_path, key=key)
    with pytest.raises(ValueError, match="checkpoint_key seals the files in checkpoint_dir; pass a folder"):
        run(fed_avg(), None, checkpoint_key=key)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_the_strategy_cannot_load_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    run(FedProx(proximal_mu=0.1), tmp_path, rounds=1)
    values = unpack(archive.read(tmp_path / "checkpoint-00001.npz", "checkpoint", 1))
    values["state"]["strategy"] = {"mu": {"nu": 1}}
    archive.write(tmp_path / "checkpoint-00001.npz", "checkpoint", 1, pack(values))
    wanted = "checkpoint_dir=.* holds a state that FedProx cannot load, TypeError: .*'nu'.*; choose another folder"
    with pytest.raises(ValueError, match=wanted):
        run(FedProx(proximal_mu=0.1), tmp_path, resume=True)


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a round of another kind": lambda values: values.update(server_round="1"),
    "another round": lambda values: values.update(server_round=10**12),
    "no result": lambda values: values.pop("result"),
    "a result without a model": lambda values: values["result"].pop("arrays"),
    "no state": lambda values: values.update(state=None),
    "nodes of another kind": lambda values: values["state"].update(nodes=[1]),
    "a best model of another kind": lambda values: values["result"].update(best=1),
    "a best model without arrays": lambda values: values["result"].update(best=BestModel(1, 0.5, MetricRecord())),  # type: ignore[arg-type]
    "a score of another kind": lambda values: values["result"].update(best=BestModel(1, "0.5", ArrayRecord())),  # type: ignore[arg-type]
    "a rule of another kind": lambda values: values["state"]["best"].update(metric=1),
    "a rule without its patience": lambda values: values["state"]["best"].pop("waited"),
    "splits of another kind": lambda values: values["state"]["record"].update(splits={"a": 1}),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_an_intact_file_with_unexpected_values_is_an_error(
    forge: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    path = tmp_path / "checkpoint-00001.npz"
    values = unpack(archive.read(path, "checkpoint", 1))
    forge(values)
    archive.write(path, "checkpoint", 1, pack(values))
    with pytest.raises(ValueError, match=r"checkpoint-00001\.npz (is not a valid|contains round 1000000000000)"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("rounds", [[Round(2, "train", (), (), 0.0)], [1], None], ids=["round", "type", "none"])
def test_an_intact_history_file_with_unexpected_values_counts_as_lost(rounds: Any, tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    path = tmp_path / "history-00001.npz"
    values = unpack(archive.read(path, "checkpoint", 1))
    archive.write(path, "checkpoint", 1, pack({**values, "rounds": rounds}))
    assert Checkpoint.load(tmp_path).lost_rounds == (1,)


def test_more_rounds_than_a_folder_can_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_rounds=1000000 is more than checkpoint_dir can hold; use 999999 at most"):
        run(fed_avg(), tmp_path, rounds=1_000_000)


def test_unfinished_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    for name in (".checkpoint-00002.npz.12ab.tmp", ".history-00002.npz.12ab.tmp", ".mine.tmp"):
        (tmp_path / name).touch()
    run(fed_avg(), tmp_path, rounds=2, resume=True)
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".lock", ".mine.tmp"]


def test_loading_during_a_run_skips_a_checkpoint_that_was_just_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(fed_avg(), tmp_path, rounds=4)
    names, stale = files.names, iter([["checkpoint-00001.npz", "checkpoint-00002.npz"]])
    monkeypatch.setattr(files, "names", lambda folder: next(stale, None) or names(folder))
    assert Checkpoint.load(tmp_path).server_round == 4


@posix_only
def test_links_to_nothing_are_damage(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=2)
    (tmp_path / "checkpoint-00003.npz").symlink_to(tmp_path / "nothing")
    (tmp_path / "history-00001.npz").unlink()
    (tmp_path / "history-00001.npz").symlink_to(tmp_path / "nothing")
    loaded = Checkpoint.load(tmp_path)
    assert (loaded.server_round, loaded.lost_rounds) == (2, (1,))
    for path in tmp_path.glob("checkpoint-0000[12].npz"):
        path.unlink()
    with pytest.raises(archive.DamagedError, match=r"checkpoint-00003\.npz is a link to nothing"):
        Checkpoint.load(tmp_path)


@posix_only
def test_a_link_in_place_of_the_lock_is_refused_and_its_target_is_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=r"run' is not writable: .*symbolic links"):
        run(fed_avg(), tmp_path / "run")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_run_stays_in_its_folder_when_the_program_goes_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with LocalGrid(app, NODES) as grid:
        fed_avg().start(
            grid, INITIAL, 2, checkpoint_dir="run", evaluate_fn=lambda *_: monkeypatch.chdir(tmp_path / "other")
        )
    assert Checkpoint.load(tmp_path / "run").server_round == 2


def test_a_checkpoint_that_cannot_be_removed_is_removed_a_round_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([PermissionError(errno.EACCES, "in use")])
    remove = files.remove

    def refuses_once(path: Path) -> None:
        for refusal in refusals:
            raise refusal
        remove(path)

    monkeypatch.setattr(files, "remove", refuses_once)
    run(fed_avg(), tmp_path, rounds=3)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 3
    run(fed_avg(), tmp_path, rounds=4, resume=True)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2


def test_a_file_without_values_is_damaged(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=2)
    archive.write(tmp_path / "checkpoint-00002.npz", "checkpoint", 1, {})
    assert Checkpoint.load(tmp_path).server_round == 1


def test_other_files_in_the_folder_are_not_checkpoints(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    for name in ("checkpoint-000009.npz", "checkpoint-9.npz", "checkpoint-00000.npz", "my-checkpoint-00009.npz"):
        (tmp_path / name).touch()
    assert Checkpoint.load(tmp_path).server_round == 1


LIVES = """
import sys
from pathlib import Path
from tests.strategies import test_checkpoints as here

def waits(server_round, arrays):
    if server_round == 2:
        print("in round 2", flush=True)
        sys.stdin.readline()

with here.LocalGrid(here.app, here.NODES) as grid:
    here.fed_avg().start(grid, here.INITIAL, here.ROUNDS, evaluate_fn=waits, checkpoint_dir=sys.argv[1])
print("done", flush=True)
"""


def test_resuming_an_active_run_is_refused_and_the_active_run_continues(tmp_path: Path, python: str) -> None:
    whole = fed_avg()
    with LocalGrid(app, NODES) as grid:
        expected = outcome(whole.start(grid, INITIAL, ROUNDS, evaluate_fn=lambda *_: None), whole.history)
    with subprocess.Popen(
        [python, "-c", LIVES, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as living:
        assert living.stdin is not None
        assert living.stdout is not None
        assert living.stdout.readline() == "in round 2\n"
        with pytest.raises(RuntimeError, match=rf"another run is using checkpoint_dir=.*: process {living.pid} on "):
            run(fed_avg(), tmp_path, resume=True)
        living.stdin.write("\n")
        living.stdin.flush()
        assert living.stdout.readline() == "done\n"
    checkpoint = Checkpoint.load(tmp_path)
    assert outcome(checkpoint.result, checkpoint.history) == expected
