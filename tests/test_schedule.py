"""Who holds which row in which round: drift by time and between two splits, shifts, clients that are away."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from flskew import Assignment, DirichletPartitioner, NaturalIdPartitioner, PartitionIdError, Schedule
from flskew._util import archive
from flskew.shifts import Affine, Noise

EARLY = Assignment.from_partitions({"Bern": [0, 1, 2], "Lyon": [3, 4]}, labels=list("xyxyx"))
LATE = Assignment.from_partitions({"Bern": [2, 3], "Lyon": [4, 0]}, labels=list("xyxyx"))
DRIFT = Schedule({1: EARLY, 4: LATE})
LABELS = np.random.default_rng(0).integers(0, 5, 2000)


def held(assignment: Assignment) -> list[list[int]]:
    return [rows.tolist() for rows in assignment]


def holders(assignment: Assignment) -> dict[int, int]:
    """The partition of each assigned row."""
    found = {row: number for number, rows in enumerate(held(assignment)) for row in rows}
    assert len(found) == sum(map(len, assignment)), "a row is held twice"
    return found


# Stages


def test_an_assignment_holds_from_its_round_until_the_next_stage() -> None:
    assert [DRIFT.assignment(server_round) for server_round in range(1, 7)] == [EARLY] * 3 + [LATE] * 3
    assert DRIFT.assignment(10**9) is LATE
    assert DRIFT.assignment(np.int64(4)) is LATE  # type: ignore[arg-type]


def test_round_0_in_which_only_the_server_evaluates_has_the_assignment_of_round_1() -> None:
    assert DRIFT.assignment(0) is EARLY


def test_rows_are_those_of_the_round_by_id_or_by_name() -> None:
    assert DRIFT.rows("Lyon", 3).tolist() == DRIFT.rows(1, 3).tolist() == [3, 4]
    assert DRIFT.rows("Lyon", 4).tolist() == [4, 0]
    with pytest.raises(PartitionIdError):
        DRIFT.rows(2, 1)


def test_stages_may_be_given_in_any_order() -> None:
    swapped = Schedule({4: LATE, 1: EARLY})
    assert swapped == DRIFT
    assert swapped.starts == (1, 4)
    assert list(swapped.stages) == [1, 4]
    assert swapped.fingerprint == DRIFT.fingerprint


def test_a_schedule_has_the_partitions_and_the_rows_that_its_stages_share() -> None:
    assert (DRIFT.num_partitions, DRIFT.num_rows, DRIFT.names, DRIFT.has_labels) == (2, 5, ("Bern", "Lyon"), True)
    assert DRIFT.to_frame().to_dict("list") == {"Bern": [3, 2], "Lyon": [2, 2]}
    assert repr(DRIFT) == "Schedule(2 stages from round 1, 4, 2 partitions ('Bern', 'Lyon'), 5 rows)".replace("'", "")
    assert "<table" in DRIFT._repr_html_()


@pytest.mark.parametrize(
    ("stages", "error", "message"),
    [
        pytest.param([EARLY, LATE], TypeError, "must be a mapping from the first round .* got list", id="a list"),
        pytest.param({}, ValueError, r"one must begin with round 1, got \[\]", id="no stage"),
        pytest.param({2: EARLY}, ValueError, r"one must begin with round 1, got \[2\]", id="nothing at round 1"),
        pytest.param({0: EARLY}, ValueError, "stages must be at least 1, got 0", id="round 0"),
        pytest.param({1.0: EARLY}, TypeError, "a round in stages must be an integer, got 1.0", id="a float"),
        pytest.param({True: EARLY}, TypeError, "stages must be an integer, got True", id="a bool"),
        pytest.param(
            {1: [[0], [1]]}, TypeError, "assignment from round 1 on must be an Assignment", id="a list of rows"
        ),
        pytest.param({1: EARLY, 3: [[0]]}, TypeError, "assignment from round 3 on must be an Assignment", id="later"),
        pytest.param(
            {1: EARLY, 3: Assignment.from_partitions({"Bern": [0], "Lyon": [9]})},
            ValueError,
            "the assignment from round 3 on has num_rows 10, not 5",
            id="more rows",
        ),
        pytest.param(
            {1: EARLY, 3: Assignment.from_partitions({"Bern": range(5)})},
            ValueError,
            "has num_partitions 1, not 2, other names",
            id="fewer partitions",
        ),
        pytest.param(
            {1: EARLY, 3: Assignment.from_partitions([[0], [4]])}, ValueError, "round 3 on has other names", id="names"
        ),
        pytest.param(
            {1: EARLY, 3: Assignment.from_partitions({"Bern": [0], "Lyon": [4]}, labels=list("xyxyy"))},
            ValueError,
            "round 3 on has other labels",
            id="labels",
        ),
        pytest.param(
            {1: Assignment.from_partitions([[], []], num_rows=3)},
            ValueError,
            "the assignment from round 1 on assigns no rows",
            id="no rows",
        ),
    ],
)
def test_stages_that_do_not_fit_together_are_refused(stages: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Schedule(stages)


@pytest.mark.parametrize("server_round", [-1, 1.5, "1", None, True], ids=str)
def test_anything_but_a_round_is_refused(server_round: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="server_round must be "):
        DRIFT.rows(0, server_round)


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="a Schedule is read-only, cannot set names"):
        DRIFT.names = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        DRIFT.stages[1] = LATE  # type: ignore[index]
    stages = {1: EARLY}
    schedule = Schedule(stages)
    stages[1] = LATE
    assert schedule.assignment(1) is EARLY


# Fingerprints and files


def test_the_fingerprint_covers_every_round_and_each_assignment_keeps_its_own() -> None:
    others = [
        Schedule({1: EARLY}),
        Schedule({1: EARLY, 5: LATE}),
        Schedule({1: LATE, 4: EARLY}),
        Schedule({1: EARLY, 4: LATE.with_shift(Noise(0.1))}),
    ]
    fingerprints = {schedule.fingerprint for schedule in (DRIFT, *others)} | {EARLY.fingerprint, LATE.fingerprint}
    assert len(fingerprints) == 7
    assert others[0] != DRIFT
    assert len({DRIFT, Schedule({1: EARLY, 4: LATE})}) == 1
    assert DRIFT.assignment(5).fingerprint == LATE.fingerprint


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: DRIFT, id="two stages"),
        pytest.param(lambda: DRIFT.with_shift(Noise(0.5) | Affine(2.0)), id="with a shift"),
        pytest.param(lambda: DRIFT.away("Lyon", until=3), id="with a client that arrives"),
        pytest.param(lambda: Schedule({1: Assignment.from_partitions([[1], [0]])}), id="without names and labels"),
        pytest.param(
            lambda: Schedule.by_time(NaturalIdPartitioner("site").assign(list("abab")), [1, 2, 3, 4], [1, 2]), id="ids"
        ),
    ],
)
def test_a_loaded_schedule_equals_the_saved_one(make: Callable[[], Schedule], tmp_path: Path) -> None:
    schedule = make()
    schedule.save(tmp_path / "drift.npz")
    loaded = Schedule.load(tmp_path / "drift.npz")
    assert loaded == schedule
    assert loaded.fingerprint == schedule.fingerprint
    assert [stage.shift for stage in loaded.stages.values()] == [stage.shift for stage in schedule.stages.values()]
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_rows_that_stages_share_are_written_once(tmp_path: Path) -> None:
    split = DirichletPartitioner(10, alpha=1.0).assign(LABELS)
    Schedule({1: split}).save(tmp_path / "one")
    Schedule(dict.fromkeys(range(1, 101), split)).with_shift(Noise(0.5)).save(tmp_path / "hundred")
    # The 2,000 rows of each stage are 16 kB; what is written for it, 2 kB.
    assert (tmp_path / "hundred").stat().st_size < (tmp_path / "one").stat().st_size + 100 * 2000


def test_any_changed_byte_of_a_file_is_an_error(tmp_path: Path) -> None:
    DRIFT.save(tmp_path / "drift.npz")
    saved = (tmp_path / "drift.npz").read_bytes()
    for place in range(0, len(saved), 97):
        changed = bytearray(saved)
        changed[place] ^= 1
        (tmp_path / "damaged.npz").write_bytes(changed)
        with pytest.raises(ValueError, match=r"damaged\.npz"):
            Schedule.load(tmp_path / "damaged.npz")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"starts": np.array([1, 5])}, id="other rounds"),
        pytest.param({"starts": np.array([1])}, id="a round less"),
        pytest.param({"starts": np.array([[1], [4]])}, id="nested rounds"),
        pytest.param({"fingerprint": np.array("0" * 32)}, id="another fingerprint"),
        pytest.param({"0.rows": np.array([0, 1, 1, 3, 4])}, id="a row twice"),
        pytest.param({"contents": np.array([["0", "rows", "nowhere"]])}, id="a missing array"),
        pytest.param({"contents": np.array([["0", "rows"]])}, id="a broken table"),
        pytest.param({"contents": np.array([["7", "rows", "0.rows"]])}, id="a stage too many"),
        pytest.param({"0.shift": np.array("print(1)")}, id="a shift that is code"),
    ],
)
def test_a_whole_file_of_what_is_no_schedule_is_an_error(changes: Mapping[str, Any], tmp_path: Path) -> None:
    schedule = DRIFT.with_shift(Noise(0.5), severities=[1, 1])
    schedule.save(tmp_path / "drift.npz")
    arrays = archive.read(tmp_path / "drift.npz", "schedule", 1)
    archive.write(tmp_path / "forged.npz", "schedule", 1, {**arrays, **changes})
    with pytest.raises(ValueError, match=r"forged\.npz is not a valid schedule file"):
        Schedule.load(tmp_path / "forged.npz")


def test_a_saved_assignment_is_not_a_schedule(tmp_path: Path) -> None:
    EARLY.save(tmp_path / "split.npz")
    with pytest.raises(ValueError, match="contains a saved assignment"):
        Schedule.load(tmp_path / "split.npz")


# Between two assignments


@st.composite
def two_splits(draw: st.DrawFn) -> tuple[Assignment, Assignment]:
    """Two splits of up to 30 rows among three partitions, each at least one row, with unassigned rows."""
    count = draw(st.integers(1, 30))
    splits = []
    for _ in range(2):
        owners = [0, *draw(st.lists(st.integers(-1, 2), min_size=count - 1, max_size=count - 1))]
        rows = draw(st.permutations(range(count)))
        partitions = [[row for row in rows if owners[row] == number] for number in range(3)]
        splits.append(Assignment.from_partitions(partitions, num_rows=count))
    return splits[0], splits[1]


@given(splits=two_splits(), stages=st.integers(2, 7), seed=st.integers(0, 5))
def test_each_differing_row_moves_once_in_equal_steps(splits: tuple[Assignment, Assignment], stages: int, seed: int):
    first, last = splits
    schedule = Schedule.between(first, last, range(1, stages + 1), seed=seed)
    found = [holders(stage) for stage in schedule.stages.values()]
    assert schedule.assignment(1) is first
    assert schedule.assignment(stages) is last
    differing = [row for row in range(first.num_rows) if found[0].get(row) != found[-1].get(row)]
    for row in range(first.num_rows):
        owners = [at.get(row) for at in found]
        changes = sum(one != other for one, other in pairwise(owners))
        assert changes == (row in differing)  # never to a third partition and back
    for step, at in enumerate(found):
        moved = sum(at.get(row) == found[-1].get(row) for row in differing)
        assert abs(moved - len(differing) * step / (stages - 1)) < 1


def test_rows_that_stay_keep_their_order_and_those_that_come_follow() -> None:
    first = Assignment.from_partitions([[5, 1, 3], [0, 2, 4]])
    last = Assignment.from_partitions([[4, 3, 2, 1], [0, 5]])
    middle = Schedule.between(first, last, [1, 2, 3]).assignment(2)
    for before, after, rows in zip(first, last, middle, strict=True):
        stayed = [row for row in rows.tolist() if row in before]
        assert stayed == [row for row in before.tolist() if row in stayed]
        came = [row for row in rows.tolist() if row not in before]
        assert rows.tolist() == stayed + came
        assert came == [row for row in after.tolist() if row in came]


def test_every_row_is_equally_likely_to_have_moved_and_counts_are_linear_on_average() -> None:
    first = Assignment.from_partitions([range(7), []])
    last = Assignment.from_partitions([[], range(7)])
    seeds = 1000
    moved = np.zeros((2, 7))
    for seed in range(seeds):
        schedule = Schedule.between(first, last, [1, 2, 3, 4], seed=seed)
        for step in (1, 2):
            moved[step - 1, schedule.rows(1, step + 1)] += 1
    # Of 7/3 rows, 2 or 3 have moved: on average 7/3, with a standard error of sqrt(2/9 / 1000) = 0.015.
    assert abs(moved[0].sum() / seeds - 7 / 3) < 4.5 * 0.015
    # 7/3 and 14/3 of 7 rows: a third and two thirds of the time, with a standard error of sqrt(2/9 / 1000) = 0.015.
    assert np.abs(moved[0] / seeds - 1 / 3).max() < 4.5 * 0.015
    assert np.abs(moved[1] / seeds - 2 / 3).max() < 4.5 * 0.015


def test_the_labels_of_the_stages_between_are_counted() -> None:
    first, last = (DirichletPartitioner(4, alpha=alpha).assign(LABELS) for alpha in (100.0, 0.3))
    schedule = Schedule.between(first, last, [1, 11, 21, 31], labels=LABELS)
    assert schedule.has_labels
    for stage in schedule.stages.values():
        counts = [np.bincount(LABELS[rows], minlength=5).tolist() for rows in stage]
        assert stage.label_counts.tolist() == counts
    # The counts at a third of the way lie a third of the way between the ends, up to the luck of the draw: of a class
    # of 400 rows, a number that moves has a standard deviation of at most sqrt(400 * 1/3 * 2/3) = 9.4.
    straight = (2 * first.label_counts + last.label_counts) / 3
    assert np.abs(schedule.assignment(11).label_counts - straight).max() < 4 * 9.4
    assert not Schedule.between(first, last, [1, 11, 21]).has_labels


def test_rows_may_have_several_labels(tmp_path: Path) -> None:
    reports = [["cough", "fever"], ["cough"], [], ["fever", "rash"]] * 50
    first, last = (DirichletPartitioner(3, alpha=alpha).assign(reports) for alpha in (100.0, 0.3))
    schedule = Schedule.between(first, last, [1, 2, 3], labels=reports).away(2, since=3)
    for stage in schedule.stages.values():
        counts = [
            [sum(label in reports[row] for row in rows) for label in ("cough", "fever", "rash")] for rows in stage
        ]
        assert stage.label_counts.tolist() == counts
        assert stage.is_multi_label
    schedule.save(tmp_path / "drift.npz")
    assert Schedule.load(tmp_path / "drift.npz") == schedule
    by_time = Schedule.by_time(first, range(200), [1, 2], labels=reports)
    assert sum(stage.label_counts for stage in by_time.stages.values()).tolist() == first.label_counts.tolist()


def test_a_schedule_between_two_splits_depends_only_on_its_seed() -> None:
    first, last = (DirichletPartitioner(4, alpha=alpha).assign(LABELS) for alpha in (100.0, 0.3))
    one, two, other = (Schedule.between(first, last, [1, 2, 3], seed=seed).fingerprint for seed in (7, 7, 8))
    assert one == two != other
    # Golden: the same on every machine and with every supported version of NumPy.
    assert one == "66afe6f03cf32e1c8d0972eb5b775501"


def test_natural_ids_are_kept_while_they_are_true() -> None:
    ids = np.array(list("aabb"))
    sites = NaturalIdPartitioner("site").assign(ids)
    moved = Assignment.from_partitions({"a": [0, 2], "b": [1, 3]})
    between = Schedule.between(sites, moved, [1, 2, 3]).assignment(2)
    assert between._parts.natural_ids is None  # row 1 or 2 is with the other id now
    by_time = Schedule.by_time(sites, [1, 2, 1, 2], [1, 2])
    assert held(NaturalIdPartitioner("site").assign(["b"], like=by_time.assignment(2))) == [[], [0]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"first": [[0]]}, TypeError, "first must be an Assignment, got list", id="first"),
        pytest.param({"last": None}, TypeError, "last must be an Assignment, got NoneType", id="last"),
        pytest.param({"last": Assignment.from_partitions([[0]])}, ValueError, "last has num_rows 1, not 5", id="rows"),
        pytest.param({"last": LATE.with_shift(Noise(1))}, ValueError, "must have the same shift", id="shifts"),
        pytest.param({"starts": [1]}, ValueError, "at least two stages, got 1", id="one stage"),
        pytest.param({"starts": [2, 3]}, ValueError, r"starts must increase from 1, got \[2, 3\]", id="not from 1"),
        pytest.param({"starts": [1, 3, 3]}, ValueError, "starts must increase from 1", id="twice"),
        pytest.param({"starts": 10}, TypeError, "starts must be a list of the first round", id="a number"),
        pytest.param({"starts": [1, 2.5]}, TypeError, "a round in starts must be an integer, got 2.5", id="a float"),
        pytest.param({"labels": list("xyxy")}, ValueError, "labels must be one per row .* 4 for 5", id="few labels"),
        pytest.param({"labels": list("yyxyx")}, ValueError, "must be those that the assignment was", id="other labels"),
        pytest.param({"seed": None}, TypeError, "seed must be an integer", id="no seed"),
    ],
)
def test_ends_that_nothing_lies_between_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Schedule.between(**{"first": EARLY, "last": LATE, "starts": [1, 2, 3], **change})


# By time

VISITS = Assignment.from_partitions({"Bern": [5, 0, 1, 2], "Lyon": [4, 6]}, num_rows=8)
YEARS = [2021, 2023, 2022, 2019, 2020, 2022, 2021, 2021]
DAYS = [date(year, 7, 1) for year in YEARS]


@pytest.mark.parametrize(
    ("when", "first_times"),
    [
        pytest.param(YEARS, [2021, 2022, 2023], id="years"),
        pytest.param(np.array(YEARS, np.int16), [2020.5, 2021.5, 2022.5], id="half years"),
        pytest.param(DAYS, [date(2021, 1, 1), date(2022, 1, 1), date(2023, 1, 1)], id="dates"),
        pytest.param(
            pd.Series(pd.to_datetime(DAYS)).dt.tz_localize("UTC"),
            [np.datetime64("2021"), np.datetime64("2022"), np.datetime64("2023")],
            id="a column with a zone",
        ),
    ],
)
def test_new_rows_replace_old_ones_or_are_added(when: Any, first_times: list[Any]) -> None:
    starts = dict(zip([1, 6, 11], first_times, strict=True))
    schedule = Schedule.by_time(VISITS, when, starts)
    assert {start: held(stage) for start, stage in schedule.stages.items()} == {
        1: [[0], [6]],  # 2021; row 7 is unassigned, and row 4, of 2020, came before the first time
        6: [[5, 2], []],
        11: [[1], []],
    }
    accumulated = Schedule.by_time(VISITS, when, starts, accumulate=True)
    assert {start: held(stage) for start, stage in accumulated.stages.items()} == {
        1: [[0], [6]],
        6: [[5, 0, 2], [6]],
        11: [[5, 0, 1, 2], [6]],
    }
    assert schedule.names == accumulated.names == ("Bern", "Lyon")


@given(
    times=st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    count=st.integers(1, 4),
    accumulate=st.booleans(),
)
def test_stages_have_about_equally_many_rows_and_never_divide_a_time(times: list[int], count: int, accumulate: bool):
    assignment = Assignment.from_partitions([range(0, len(times), 2), range(1, len(times), 2)], num_rows=len(times))
    # Plain Python: before each distinct time, how many rows are earlier; the closest to k / count of all, the later
    # of two.
    earlier = {time: sum(other < time for other in times) for time in sorted(set(times))}
    since = [
        min(sorted(earlier, reverse=True), key=lambda time: abs(earlier[time] - len(times) * number / count))
        for number in range(count)
    ]
    starts = range(1, count + 1)
    if sorted(set(since)) != since:
        with pytest.raises(ValueError, match=r"first times of the stages must increase, got .*; pass fewer starts"):
            Schedule.by_time(assignment, times, starts, accumulate=accumulate)
        return
    schedule = Schedule.by_time(assignment, times, starts, accumulate=accumulate)
    for number, stage in enumerate(schedule.stages.values()):
        until = [*since, 99][number + 1]
        begin = since[0] if accumulate else since[number]
        assert sorted(holders(stage)) == [row for row, time in enumerate(times) if begin <= time < until]


def test_label_counts_and_shifts_follow_the_rows_that_arrive() -> None:
    split = DirichletPartitioner(4, alpha=1.0).assign(LABELS).with_shift(Noise(0.5))
    when = np.random.default_rng(1).permutation(len(LABELS))
    schedule = Schedule.by_time(split, when, [1, 2, 3, 4], labels=LABELS)
    assert [stage.sizes.sum() for stage in schedule.stages.values()] == [500] * 4
    assert sum(stage.label_counts for stage in schedule.stages.values()).tolist() == split.label_counts.tolist()
    assert all(stage.shift == Noise(0.5) for stage in schedule.stages.values())
    assert not Schedule.by_time(split, when, [1, 2]).has_labels


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"assignment": [[0]]}, TypeError, "assignment must be an Assignment", id="no assignment"),
        pytest.param({"when": YEARS[:-1]}, ValueError, "when must be one time per row .* got 7 for 8 rows", id="few"),
        pytest.param({"when": [None, *DAYS[1:]]}, ValueError, "missing value", id="missing"),
        pytest.param({"when": list("abcdefgh")}, TypeError, "when must be numbers or dates", id="text"),
        pytest.param({"starts": {1: date(2021, 1, 1)}}, TypeError, "must be numbers like those in when", id="date"),
        pytest.param({"when": DAYS}, TypeError, "must be dates like those in when, got 2021", id="number"),
        pytest.param({"starts": {1: 2022, 5: 2021}}, ValueError, "must increase, got 2022, 2021; list", id="order"),
        pytest.param({"starts": {2: 2021}}, ValueError, "starts must increase from 1", id="not from 1"),
        pytest.param({"starts": {1: 2030}}, ValueError, "round 1 on assigns no rows", id="no row"),
        pytest.param({"starts": {1: 2021, 5: 2024}}, ValueError, "round 5 on assigns no rows", id="later"),
        pytest.param({"labels": [1, 2]}, ValueError, "labels must be one per row", id="labels"),
        pytest.param({"starts": []}, ValueError, "starts must increase from 1", id="no starts"),
        pytest.param(
            {"assignment": Assignment.from_partitions([[]], num_rows=8)}, ValueError, "must assign rows", id="nothing"
        ),
    ],
)
def test_times_that_make_no_schedule_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Schedule.by_time(**{"assignment": VISITS, "when": YEARS, "starts": {1: 2021, 6: 2022}, **change})


# Shifts


def test_a_shift_grows_evenly_from_nothing_to_all_of_it() -> None:
    schedule = Schedule(dict.fromkeys([1, 2, 3, 4], EARLY)).with_shift(Affine(offset=9.0))
    seen = [schedule.view("Lyon", number).features(np.zeros(2))[0] for number in range(1, 5)]
    assert seen == [0.0, 3.0, 6.0, 9.0]
    given_ones = Schedule(dict.fromkeys([1, 2], EARLY)).with_shift(Affine(offset=8.0), severities=[1.0, 0.25])
    assert [given_ones.view(0, number).features(np.zeros(3))[0] for number in (1, 2)] == [8.0, 2.0]
    assert Schedule({1: EARLY}).with_shift(Noise(1.0)).assignment(1).shift == Noise(1.0)


def test_a_shift_can_be_removed() -> None:
    assert DRIFT.with_shift(Noise(1.0)).with_shift(None) == DRIFT


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param((0.5,), TypeError, "shift must be a shift", id="a number"),
        pytest.param(
            (Noise(1.0), 0.5), TypeError, "severities must be a list of one number per stage", id="one for all"
        ),
        pytest.param((Noise(1.0), [1.0]), ValueError, "one per stage, got 1 for 2 stages", id="one severity"),
        pytest.param((Noise(1.0), [0.0, 1.5]), ValueError, "severity must be a number from 0 to 1", id="too strong"),
    ],
)
def test_a_shift_that_cannot_grow_is_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DRIFT.with_shift(*arguments)


# Clients that arrive and leave


@given(
    away=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 8), st.integers(1, 5) | st.none()), max_size=4),
    starts=st.sets(st.integers(2, 8), max_size=3),
)
def test_a_partition_has_its_rows_unless_it_is_away(away: list[tuple[int, int, int | None]], starts: set[int]) -> None:
    labels = [0, 1, 0, 1]
    stages = {
        start: Assignment.from_partitions([[0], [1, 2], [3]] if start % 2 else [[3, 2], [0], [1]], labels)
        for start in (1, *starts)
    }
    base, rounds = Schedule(stages), range(1, 16)

    def is_away(number: int, server_round: int) -> bool:
        return any(
            number == partition and since <= server_round and (length is None or server_round < since + length)
            for partition, since, length in away
        )

    def changed() -> Schedule:
        schedule = base
        for partition, since, length in away:
            schedule = schedule.away(partition, since, None if length is None else since + length)
        return schedule

    if any(all(is_away(number, server_round) for number in range(3)) for server_round in rounds):
        with pytest.raises(ValueError, match="assigns no rows"):
            changed()
        return
    schedule = changed()
    for server_round in rounds:
        at = schedule.assignment(server_round)
        expected = [
            [] if is_away(number, server_round) else rows
            for number, rows in enumerate(held(base.assignment(server_round)))
        ]
        assert held(at) == expected
        assert at.label_counts.tolist() == [
            [sum(labels[row] == c for row in rows) for c in (0, 1)] for rows in expected
        ]
        assert at.unassigned.tolist() == sorted(set(range(4)) - {row for rows in expected for row in rows})


def test_stages_in_which_nobody_is_away_are_the_same_objects() -> None:
    schedule = Schedule({1: EARLY, 4: LATE}).away("Lyon", since=6)
    assert schedule.assignment(3) is EARLY
    assert schedule.assignment(5) is LATE


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param(("Rome",), PartitionIdError, "no partition has this name", id="an unknown name"),
        pytest.param((5,), PartitionIdError, "out of range", id="an unknown id"),
        pytest.param((0, 0), ValueError, "since must be at least 1", id="round 0"),
        pytest.param((0, 5, 5), ValueError, "until must be at least 6, got 5", id="no round"),
        pytest.param((0, 1.0), TypeError, "since must be an integer", id="a float"),
    ],
)
def test_an_absence_that_cannot_be_is_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DRIFT.away(*arguments)


# Runs that continue, and test sets


@pytest.mark.parametrize("done", [0, 1, 2, 3, 4, 10])
def test_the_rest_of_a_schedule_counts_from_1_again(done: int) -> None:
    schedule = Schedule({1: EARLY, 3: LATE, 5: EARLY})
    rest = schedule.after(done)
    assert [rest.assignment(number) for number in range(1, 9)] == [
        schedule.assignment(done + number) for number in range(1, 9)
    ]


def test_a_negative_number_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="num_rounds must be at least 0"):
        DRIFT.after(-1)


def test_a_test_set_drifts_with_its_training_set() -> None:
    test = DRIFT.match(list("xxxyy"), seed=3)
    assert dict(test.stages) == {start: stage.match(list("xxxyy"), seed=3) for start, stage in DRIFT.stages.items()}
    assert test.names == DRIFT.names
