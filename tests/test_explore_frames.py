"""The splits that docs/explore.md shows are those that flskew draws."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

import explore_frames

DATA = json.loads(explore_frames.FILE.read_text("utf-8").partition("globalThis.flskewFrames = ")[2].rstrip(";\n"))
ALPHABET = [chr(code) for code in range(35, 127) if chr(code) != "\\"]


def unpacked(text: str) -> list[int]:
    digits = iter(map(ALPHABET.index, text))
    numbers: list[int] = []
    for digit in digits:
        if digit >= 70:
            numbers += [0] * (digit - 68)
        else:
            numbers.append(digit if digit < 60 else 60 + 91 * (digit - 60) + next(digits))
    return numbers


def check(codes: list[str]) -> None:
    for code in codes:
        assert unpacked(DATA["frames"][code]) == explore_frames.counts(code).ravel().tolist(), code


def test_a_twentieth_of_the_frames_are_the_splits_that_their_code_makes() -> None:
    check(list(DATA["frames"])[::20])


@pytest.mark.long
def test_all_frames_are_the_splits_that_their_code_makes() -> None:
    check(list(DATA["frames"]))


def test_there_is_a_frame_for_each_setting_in_at_most_450_kilobytes() -> None:
    assert list(DATA["frames"]) == [*explore_frames.codes()]
    assert explore_frames.FILE.stat().st_size < 450_000


def test_the_offsets_of_label_exclusion_are_those_that_flskew_draws() -> None:
    assert DATA["offsets"] == explore_frames.offsets()


@pytest.mark.parametrize("table", [[0], [0] * 21, [0] * 22, [0] * 23, [59, 60, 600, 0, 0, 1], [969]])
def test_what_is_packed_can_be_unpacked(table: list[int]) -> None:
    assert unpacked(explore_frames.packed(np.array([table]))) == table
