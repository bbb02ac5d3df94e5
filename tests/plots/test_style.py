"""The colours of all pictures, as grey print and the three kinds of colour blindness show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from threading import Event, Thread

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from flskew import plots
from flskew.plots import _style
from flskew.plots._cells import PALEST
from flskew.plots._curves import Curves, draw_curves

# Linear RGB as people see it who lack one kind of cone; Machado, Oliveira and Fernandes (2009), severity 1.0.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# From linear sRGB to CIE XYZ; the rows add up to the white point.
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)

# Colours that are drawn next to each other and mean different things.
TOGETHER = {
    "gains and losses": (_style.BLUE, _style.ORANGE, "white"),
    "the worst site, the others and their median": (_style.BLUE, _style.GREY, "black", "white"),
    "clients as bands, their median and the server": (_style.BLUE, *_style.BANDS, "black", "white"),
    "the other categories and what is not there": (_style.OTHERS, "white"),
}
MAPS = {
    "heat map": _style.blues(PALEST)(np.linspace(0, 1, 256)),
    "recall": _style.blues(0.0)(np.linspace(0, 1, 256)),
    "twenty classes": _style.layers(20),
    "five categories": _style.layers(5, 0.95),
}

every_vision = pytest.mark.parametrize("vision", VISION)


def lab(color: ColorType, vision: str = "normal") -> np.ndarray:
    """CIELAB: lightness from 0 to 100, and two axes of hue."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = (XYZ @ np.clip(VISION[vision] @ linear, 0, 1)) / XYZ.sum(axis=1)
    x, y, z = (np.cbrt(t) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def smallest_distance(colors: Sequence[ColorType], vision: str) -> float:
    """The Euclidean distance in CIELAB of the two colours that are most alike; about 2.3 is just noticeable."""
    return min(float(np.linalg.norm(lab(one, vision) - lab(two, vision))) for one, two in combinations(colors, 2))


def smallest_step(colors: Sequence[ColorType]) -> float:
    """The smallest difference in lightness, which is what grey print leaves."""
    return min(high - low for low, high in pairwise(sorted(lab(color)[0] for color in colors)))


def test_lab_is_that_of_published_tables() -> None:
    """Values of sRGB's primaries under D65: red 53.24, 80.09, 67.20; blue 32.30, 79.19, -107.86."""
    assert np.allclose(lab("#ff0000"), (53.24, 80.09, 67.20), atol=0.02)
    assert np.allclose(lab("#0000ff"), (32.30, 79.19, -107.86), atol=0.02)
    assert np.allclose(lab("white"), (100, 0, 0), atol=0.02)


def test_lines_differ_in_grey_print_and_by_their_markers() -> None:
    colors, markers = zip(*_style.LINES, strict=True)
    assert smallest_step(colors[:2]) > 16
    assert smallest_step(colors[:4]) > 13
    assert smallest_step(colors) > 5
    assert len(set(markers)) == len(markers)


@every_vision
def test_lines_differ_with_any_colour_vision(vision: str) -> None:
    colors = [color for color, _ in _style.LINES]
    assert smallest_distance(colors[:4], vision) > 25
    assert smallest_distance(colors, vision) > 17
    assert smallest_distance([*colors, "white"], vision) > 17


@every_vision
@pytest.mark.parametrize("colors", TOGETHER.values(), ids=TOGETHER.keys())
def test_what_is_drawn_together_differs_in_grey_print_and_with_any_colour_vision(
    colors: Sequence[ColorType], vision: str
) -> None:
    assert smallest_step(colors) > 14
    assert smallest_distance(colors, vision) > 15


@every_vision
@pytest.mark.parametrize("colors", MAPS.values(), ids=MAPS.keys())
def test_scales_become_lighter_or_darker_all_the_way(colors: Sequence[ColorType], vision: str) -> None:
    lightness = [lab(color, vision)[0] for color in colors]
    steps = np.diff(lightness)
    # Two of the 256 colours of Blues are equal in 8 bits.
    assert np.all(steps > -1e-9) or np.all(steps < 1e-9)
    assert abs(lightness[-1] - lightness[0]) > 55
    assert len(colors) > 20 or abs(steps).min() > 2


def test_curves_are_drawn_in_these_colours_and_markers() -> None:
    lines = {f"method {number}": np.full((3, 4), number / 10) for number in range(9)}
    figure = draw_curves([Curves("", lines, {}, {})], "accuracy", ("mean", "band"), ranking=list(lines))
    drawn = [(to_hex(line.get_color()), line.get_marker()) for line in figure.axes[0].lines]
    assert drawn == [*_style.LINES, (_style.GREY, "None")]


def test_colours_are_written_in_the_style_only() -> None:
    for path in Path(_style.__file__).parent.glob("*.py"):
        if path.name != "_style.py":
            assert not re.search(r'"#[0-9a-fA-F]{6}"', path.read_text("utf-8")), path.name


def test_the_site_has_the_colours_of_the_pictures(repository: Path) -> None:
    css = (repository / "docs" / "assets" / "site.css").read_text("utf-8")
    assert f"--flskew-data: {_style.BLUE};" in css
    assert f"--flskew-amber: {_style.AMBER};" in css
    assert f'fill="{_style.AMBER}"' in (repository / "docs" / "assets" / "brand" / "logo.svg").read_text("utf-8")


def test_a_setting_that_the_user_has_changed_stays() -> None:
    def edges(figure: Figure) -> set[str]:
        axes = figure.axes[0]
        return {to_hex(axes.spines["bottom"].get_edgecolor()), axes.xaxis.label.get_color()}

    counts = np.array([[8, 0], [3, 1]])
    assert edges(plots.sizes(counts)) == {"#5f5f5f", _style.INK}
    with matplotlib.rc_context({"axes.edgecolor": "#ff0000", "axes.labelcolor": "#00ff00"}):
        assert edges(plots.sizes(counts)) == {"#ff0000", "#00ff00"}


@pytest.mark.parametrize("name", ["dark_background", "ggplot", "Solarize_Light2", "default"])
def test_a_style_sheet_of_the_user_colours_the_numbers_along_the_axes(name: str) -> None:
    counts = np.array([[8, 0], [3, 1]])
    with matplotlib.style.context(name):
        expected = _style.INK if name == "default" else matplotlib.rcParams["xtick.color"]
        axes = plots.sizes(counts).axes[0]
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    assert {to_hex(label.get_color()) for label in labels} == {to_hex(expected)}


def test_settings_of_matplotlib_are_as_before_after_an_error_and_keep_what_others_set_meanwhile() -> None:
    def fail() -> None:
        with _style.style():
            assert matplotlib.rcParams["text.color"] == _style.INK
            matplotlib.rcParams["font.size"] = 20.0
            raise RuntimeError

    with matplotlib.rc_context():
        before = dict(matplotlib.rcParams)
        with pytest.raises(RuntimeError):
            fail()
        assert dict(matplotlib.rcParams) == before | {"font.size": 20.0}


def test_threads_that_draw_at_the_same_time_leave_the_settings_of_matplotlib_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    entered, leave = Event(), Event()
    inside = []

    def draw() -> None:
        with _style.style():
            entered.set()
            leave.wait()
            inside.append(matplotlib.rcParams["text.color"])

    other = Thread(target=draw, daemon=True)
    with _style.style():
        other.start()
        # The other thread waits for its turn.
        assert not entered.wait(0.1)
    leave.set()
    other.join()
    assert inside == [_style.INK]
    assert dict(matplotlib.rcParams) == before
