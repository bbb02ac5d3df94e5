"""Three hospitals: the command run.py, its table and its pictures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from three_hospitals import figures
from three_hospitals.task import EXCLUDED

from flskew.study import Cell, Results

SIZES = {"who-holds-what.png": (1408, 528), "recall.png": (1408, 594), "accuracy.png": (1408, 792)}
OVERVIEW_SIZE = (924, 858)
# CSS pixels: what is left for a picture on a phone that is 360 wide, and the smallest text that is legible there.
PHONE, LEGIBLE = 328, 9


@pytest.fixture(scope="module")
def finished(
    example: Path, python: str, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The output of a short run in a shell, and the folder with its pictures."""
    output = tmp_path_factory.mktemp("output") / "made" / "if needed"
    done = subprocess.run(
        [
            *(python, example / "run.py", "--output", output, "--overview", output / "overview.png"),
            *("--run-config", "num-server-rounds=2 local-epochs=2"),
        ],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**os.environ, "PYTHONPATH": str(repository / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # Only the table: no warning, no log.
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, output


def test_the_table_compares_each_hospital_alone_with_all_together(finished: tuple[str, Path]) -> None:
    lines = finished[0].splitlines()
    assert lines[0] == "scikit-learn's digits: 2 rounds of 2 local epochs"
    rows = [line for line in lines if line.startswith("hospital ")]
    for number, (row, excluded) in enumerate(zip(rows, EXCLUDED, strict=True), start=1):
        assert row.startswith(f"hospital {number}  {', '.join(map(str, excluded))}")
        assert "0%, 0%, 0%" in row  # alone, on the digits it has never seen


def test_every_announced_picture_is_a_png_of_the_expected_size(finished: tuple[str, Path]) -> None:
    printed, output = finished
    for name, (width, height) in {**SIZES, "overview.png": OVERVIEW_SIZE}.items():
        assert f"wrote {output / name}" in printed
        pixels = imread(output / name, format="png")
        assert pixels.shape[:2] == (height, width)


def test_every_picture_has_a_white_margin_and_something_inside(finished: tuple[str, Path]) -> None:
    for name in (*SIZES, "overview.png"):
        pixels = imread(finished[1] / name, format="png")[..., :3]
        margin = np.concatenate(
            [pixels[:4].ravel(), pixels[-4:].ravel(), pixels[:, :4].ravel(), pixels[:, -4:].ravel()]
        )
        assert margin.min() == 1, f"{name} is cut at its edge"
        assert 0.01 < (pixels.min(axis=2) < 0.9).mean() < 0.9


@pytest.fixture(scope="module")
def made_up() -> Results:
    """Results with the widest numbers, over three rounds: counts of four digits, recalls and accuracies of 1."""
    counts = np.full((3, 10), 2000)
    for hospital, excluded in enumerate(EXCLUDED):
        counts[hospital, list(excluded)] = 0

    def cell(method: str, trained: list[int], accuracies: list[float]) -> Cell:
        return Cell(
            split="hospitals",
            method=method,
            seed=42,
            curves={"accuracy": np.array(accuracies)},
            last={"accuracy": np.full(len(trained), accuracies[-1])},
            own={"accuracy": np.ones(3)},
            recall=np.ones((len(trained), 10)),
            trained=np.array(trained),
            classes=np.arange(10),
            label_counts=counts,
            num_bytes=np.zeros(4),
            num_dropped=np.zeros(4),
            error="",
            seconds=1.0,
            fingerprints=("", ""),
            versions={},
        )

    methods = ("alone", "pooled", "together")
    curves = ([0.1, 0.7, 0.7, 0.7], [0.1, 1, 1, 1], [0.1, 0.8, 0.95, 1.0])
    cells = map(cell, methods, ([0, 1, 2], [-1], [-1]), curves)
    return Results(cells, ["hospitals"], methods, [42])


def drawn_texts(figure: Figure) -> list[Text]:
    FigureCanvasAgg(figure).draw()
    texts = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible() and artist.get_text() != "")
    # matplotlib keeps the labels of ticks that are beyond the ends of an axis, but does not draw them.
    axis = [one for axes in figure.axes for one in (axes.xaxis, axes.yaxis)]
    beyond = {
        tick.label1
        for one in axis
        for tick in one.get_major_ticks()
        if not min(one.get_view_interval()) <= tick.get_loc() <= max(one.get_view_interval())
    }
    return [text for text in texts if isinstance(text, Text) and text not in beyond]


def all_figures(results: Results) -> Sequence[Figure]:
    return [*figures.pictures(results).values(), figures.overview(results)]


def test_no_text_overlaps_or_is_cut(made_up: Results) -> None:
    for figure in all_figures(made_up):
        boxes = {text: text.get_window_extent() for text in drawn_texts(figure)}
        for box in boxes.values():
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        for (one, box), (other, other_box) in combinations(boxes.items(), 2):
            assert not box.overlaps(other_box), f"{one.get_text()!r} overlaps {other.get_text()!r}"


def test_no_line_crosses_text(made_up: Results) -> None:
    for figure in all_figures(made_up):
        words = drawn_texts(figure)
        for line in (line for axes in figure.axes for line in axes.lines):
            path = line.get_path().transformed(line.get_transform())
            for text in words:
                assert not path.intersects_bbox(text.get_window_extent(), filled=False), text.get_text()


def test_dots_name_the_hospitals_and_cross_out_missing_digits(made_up: Results) -> None:
    axes = figures.pictures(made_up)["who-holds-what.png"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hospital 1", "hospital 2", "hospital 3"]
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(digit) for digit in range(10)]
    written = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    held = {(digit, hospital) for hospital in range(3) for digit in range(10) if digit not in EXCLUDED[hospital]}
    assert written == dict.fromkeys(held, "2000")


def test_recall_sets_the_federation_apart(made_up: Results) -> None:
    axes = figures.pictures(made_up)["recall.png"].axes[0]
    names = axes.get_yticklabels()
    assert [name.get_text() for name in names] == [f"hospital {i}" for i in (1, 2, 3)] + ["together"]
    assert [name.get_fontweight() for name in names] == ["normal"] * 3 + ["bold"]


def test_the_accuracy_on_all_digits_is_beside_the_recall(made_up: Results) -> None:
    figure = figures.pictures(made_up)["recall.png"]
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    (beside,) = axes.child_axes
    assert beside.get_ylim() == axes.get_ylim()
    assert beside.get_yticks().tolist() == [0, 1, 2, 3]
    # The last accuracies of `made_up`: 0.7 for each hospital alone, 1 together.
    assert [label.get_text() for label in beside.get_yticklabels()] == ["70%", "70%", "70%", "100%"]


def test_the_hospitals_alone_are_one_line_since_their_own_would_hide_each_other(made_up: Results) -> None:
    axes = figures.pictures(made_up)["accuracy.png"].axes[0]
    levels = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
    assert levels == {"together": [0.1, 0.8, 0.95, 1.0], "alone": [0.7, 0.7], "pooled": [1, 1]}


def test_the_overview_is_legible_on_a_phone(made_up: Results) -> None:
    figure = figures.overview(made_up)
    pixels_per_point = PHONE / (72 * figure.get_figwidth())
    assert min(text.get_fontsize() for text in drawn_texts(figure)) * pixels_per_point >= LEGIBLE


def test_the_digits_of_the_overview_are_below_each_other(made_up: Results) -> None:
    figure = figures.overview(made_up)
    FigureCanvasAgg(figure).draw()
    left, right = zip(*(axes.get_position().intervalx for axes in figure.axes), strict=True)
    assert left[0] == pytest.approx(left[1], abs=1e-3)
    assert right[0] == pytest.approx(right[1], abs=1e-3)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_pictures_of_the_same_numbers_are_the_same_files(made_up: Results, tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        figures.save(figures.overview(made_up), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_a_missing_mnist_file_ends_the_command_with_its_name(run: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(["--data-dir", str(tmp_path)])
    assert str(ended.value).startswith(f"run.py: {tmp_path / 'train-images-idx3-ubyte'} is missing")


def test_an_environment_variable_replaces_the_option(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLSKEW_MNIST", str(tmp_path))
    with pytest.raises(SystemExit, match="train-images-idx3-ubyte is missing"):
        run.main([])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("local-epochs=0", "local-epochs must be at least 1"),
        ("epochs=1", "'epochs' is not in"),
        ("local-epochs", "local-epochs"),
    ],
)
def test_a_wrong_setting_ends_the_command_with_its_name(run: ModuleType, setting: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"run.py: .*{message}"):
        run.main(["--run-config", setting])


def test_a_second_run_of_the_command_trains_nothing(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FLSKEW_MNIST", raising=False)
    arguments = ["--output", str(tmp_path), "--run-config", "num-server-rounds=1 local-epochs=1"]
    run.main(arguments)
    first, kept = capsys.readouterr().out, {path: path.stat() for path in (tmp_path / "cells").iterdir()}
    run.main(arguments)
    assert capsys.readouterr().out == first
    assert {path: path.stat() for path in (tmp_path / "cells").iterdir()} == kept
    assert len(kept) == 3
