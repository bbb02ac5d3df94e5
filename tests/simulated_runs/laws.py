"""What must hold in every simulated run.

1. The model is the weighted mean of the accepted clients' models, round by round.
2. A resumed run ends like an uninterrupted one, even after a kill, a full disk or a damaged byte.
3. The folder always loads, or the error names it; a full disk leaves no unfinished files.
4. Two processes never write to one folder: the second gets an error that names the folder.
5. A client's private data appears in no reply, and its text cannot control a terminal.
6. Replies are freed after their round, even without garbage collection.
7. No run hangs.
8. The best model is that of the first round with the lowest loss, and a run ends after as many rounds without
   improvement as planned.
"""

from __future__ import annotations

import errno
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew import Checkpoint

from .federation import SECRET, SECRET_NUMBER, expected_model
from .plan import AVERAGING, Life, Plan, plan
from .world import Outcome, Story, World

# Also parts of it, since texts are shortened.
SECRETS = (*SECRET.split(), str(SECRET_NUMBER))


class BrokenLawError(AssertionError):
    """A law does not hold; the message has the seed that replays it."""


def check_run(seed: int, folder: Path) -> None:
    """Simulate the run of a seed, and check every law.

    Raises:
        BrokenLawError: A law does not hold.
    """
    planned = plan(seed)
    try:
        whole = World(planned, Life()).run(None)
        _check_model(planned, whole)
        _check_best(planned, whole)
        _check_texts(whole)
        _check_memory(whole)
        _live(planned, folder, whole)
    except Exception as error:
        broken = error if isinstance(error, BrokenLawError) else f"a raw error: {error!r}"
        raise BrokenLawError(
            f"{broken}\n\nplanned: {planned}\nreplay: python -m tests.simulated_runs {seed}"
        ) from error


def _live(planned: Plan, folder: Path, whole: Outcome) -> None:
    """Run one process after another on a folder until one finishes."""
    rotten: set[str] = set()
    for number, life in enumerate(planned.lives):
        world = World(planned, life, resumes=number > 0, number=number)
        outcome = world.run(folder)
        _check_texts(outcome)
        _check_rival(world, folder)
        if outcome.story is not None:
            _check_story(outcome.story, whole.story, rotten)
            _check_last_checkpoint(folder, whole)
            return
        if isinstance(outcome.error, ValueError) and rotten:
            _require(
                any(name in str(outcome.error) for name in rotten),
                f"the error does not name the damaged file: {outcome.error!r}",
            )
            return
        _check_end(world, outcome, folder)
        _load(folder)
        rotten |= {world.rotten} - {None}
    raise BrokenLawError(f"the last process ended with {outcome.error!r}")


def _check_story(found: Story, whole: Story | None, rotten: set[str]) -> None:
    """Check that a run has the same result as one without faults, except for damaged files of the history."""
    assert whole is not None
    _require(found.error == whole.error, f"ends with {found.error} instead of {whole.error}")
    _require(found.result == whole.result, f"reaches\n{found.result}\ninstead of\n{whole.result}")
    for server_round in {*found.history, *whole.history}:
        have, want = found.history.get(server_round), whole.history.get(server_round)
        is_lost = have is None and f"history-{server_round:05d}.npz" in rotten
        _require(have == want or is_lost, f"round {server_round} is\n{have}\ninstead of\n{want}")


def _check_model(planned: Plan, whole: Outcome) -> None:
    if planned.strategy not in AVERAGING:
        return
    expected, failed_round = expected_model(replace(planned, num_rounds=_last_round(whole)), whole.asked)
    assert whole.story is not None
    has_failed = whole.story.error is not None and not whole.story.error.startswith("keep_best")
    _require(has_failed == (failed_round is not None), f"expected an error in round {failed_round}")
    _check_arrays(whole.model, expected)


def _check_arrays(model: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> None:
    for found, wanted in zip(model, expected, strict=True):
        _require(found.dtype == wanted.dtype, f"{found.dtype} instead of {wanted.dtype}")
        _require(np.allclose(found, wanted, rtol=1e-5, atol=1e-6), f"the model is {found}, the mean {wanted}")


def _check_best(planned: Plan, whole: Outcome) -> None:
    """Check the best model, and that the run ended when it should, against the losses of its rounds."""
    assert whole.story is not None
    lowest, waited = None, 0
    for server_round, loss in whole.losses.items():
        _require(planned.patience is None or waited < planned.patience, f"round {server_round} came after the end")
        is_better = lowest is None or loss < whole.losses[lowest]
        lowest, waited = (server_round, 0) if is_better else (lowest, waited + 1)
    is_done = whole.story.error is not None or _last_round(whole) == planned.num_rounds or waited == planned.patience
    _require(is_done, f"ended after round {_last_round(whole)}, {waited} of {planned.patience} without improvement")
    if planned.patience is None:
        lowest = None
    best = whole.best
    _require((best and best.server_round) == lowest, f"the best model is {best}, not that of round {lowest}")
    if best is not None:
        _require(best.value == whole.losses[best.server_round], f"the score of {best} is that of another round")
        if planned.strategy in AVERAGING:
            expected, _ = expected_model(replace(planned, num_rounds=best.server_round), whole.asked)
            _check_arrays(best.arrays.to_numpy_ndarrays(), expected)


def _last_round(whole: Outcome) -> int:
    return max(server_round for _, server_round in whole.asked)


def _check_texts(outcome: Outcome) -> None:
    for text in outcome.replied:
        for secret in SECRETS:
            _require(secret not in text, f"{secret!r} leaves the client in {text!r}")
    for text in outcome.kept:
        steering = [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf") and letter != "\n"]
        _require(not steering, f"{steering} in {text!r}")


def _check_memory(outcome: Outcome) -> None:
    _require(not outcome.outlived, f"still alive after its round: {outcome.outlived[:3]}")


def _check_rival(world: World, folder: Path) -> None:
    _require(not world.disk.was_shared, "two processes have the folder at the same time")
    if isinstance(world.rival, BaseException):
        _require(
            folder.name in str(world.rival),
            f"the error of the second process does not name the folder: {world.rival!r}",
        )


def _check_end(world: World, outcome: Outcome, folder: Path) -> None:
    """Check that a process that did not finish was killed, found the disk full, or came after a rival."""
    error = outcome.error
    if world.is_dead:
        return
    left_behind = [path.name for path in folder.iterdir() if path.suffix == ".tmp"] if folder.exists() else []
    _require(not left_behind, f"left behind after {error!r}: {left_behind}")
    is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    _require(is_full or world.rival == "won", f"a process ended with {error!r}")
    _require(folder.name in str(error), f"an error does not name the folder: {error!r}")


def _load(folder: Path) -> Checkpoint | None:
    """Load a folder, or check that the error names it."""
    try:
        return Checkpoint.load(folder)
    except (FileNotFoundError, ValueError) as error:
        _require(folder.name in str(error), f"the error does not name the folder: {error!r}")
        return None


def _check_last_checkpoint(folder: Path, whole: Outcome) -> None:
    checkpoint = _load(folder)
    assert whole.story is not None
    if whole.story.error is None:
        _require(checkpoint is not None, "a finished run left no checkpoint")
        assert checkpoint is not None
        arrays = checkpoint.result.arrays.to_numpy_ndarrays()
        _require(all(map(np.array_equal, arrays, whole.model)), "the checkpoint has another model")
        found = checkpoint.result.best
        _require(found == whole.best, f"the best model of the checkpoint is {found}, not {whole.best}")


def _require(holds: bool, broken: str) -> None:
    if not holds:
        raise BrokenLawError(broken)
