"""The most skewed columns of a table, one small picture each, with one line for each partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew._util.texts import listed
from flskew.assignment import Assignment
from flskew.plots._canvas import (
    font_size,
    in_legend,
    name_side,
    new_axes,
    printable,
    room,
    root_figure,
    shown,
    text_width,
    wrapped,
)
from flskew.plots._style import BLUE, GREY, OTHERS, PALE, layers
from flskew.skew._columns import Column, read_columns, read_table, with_missing
from flskew.skew.features import FeatureReport, FeatureSkew, Table, by_difference, feature_report
from flskew.typing import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["features"]

# More lines than these are hard to compare; of more partitions, the most different are shown.
_MOST_LINES = 12
_MOST_IN_A_ROW = 3
# More shades than these are hard to distinguish.
_MOST_CATEGORIES = 5
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


class _Line(NamedTuple):
    """What is drawn on one line: its name, and its values, which may be none."""

    name: Label
    values: NDArray[np.float64]


def features(
    frame: Table,
    assignment: Assignment,
    *,
    columns: Sequence[str] | None = None,
    most: int = 6,
    report: FeatureReport | None = None,
) -> Figure:
    """Draw the most skewed columns of a table, each with one line per partition.

    Use it when you have a table, and want to see which columns differ between clients (covariate shift).

    For numbers and dates, a thin line leads from the 5 % to the 95 % quantile, a thick line covers the middle half, and
    a white dot marks the median. The grey band behind is the middle half of all rows. For categories, bars show the
    share of each, from dark to light, the most frequent first. The first line is for all rows, and a cross marks a
    partition without values. Of more than 12 partitions, the 12 most different are shown.

    Args:
        frame: The table, as for `flskew.skew.feature_report`.
        assignment: The split.
        columns: The columns to draw, by the names in the report, such as "bmi" or "bmi is missing"; the most skewed by
            default.
        most: Maximum number of columns, at least 1, if `columns` is not given.
        report: The report on this table and split, if you have it; None computes it.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: The table or the split has the wrong type; see `flskew.skew.feature_report`.
        ValueError: `flskew.skew.feature_report` rejects the table or the split, `columns` is empty or names a column
            that does not exist, or `report` is on another split.

    Examples:
        >>> from flskew import Assignment, plots
        >>> halves = Assignment.from_partitions(
        ...     {"Bern": range(50), "Lyon": range(50, 100)}
        ... )
        >>> figure = plots.features(
        ...     {"age": range(100), "smokes": [False, True] * 50}, halves
        ... )
        >>> print(figure.axes[0].get_title())
        age
        0.75 (chance 0.09)
    """
    most = checks.integer("most", most, minimum=1)
    if report is None:
        report = feature_report(frame, assignment)
    elif not np.array_equal(report.sizes, assignment.sizes):
        raise ValueError("report must be on this split, but its partitions have other sizes; omit report")
    chosen = report.columns[:most] if columns is None else _chosen(report, columns)
    names = [one.name for one in chosen]
    table = read_table(frame, assignment.num_rows)
    parts = (part for column in read_columns(table, assignment.rows) for part in with_missing(column))
    read = {part.name: part for part in parts if part.name in names}
    in_a_row = min(len(chosen), _MOST_IN_A_ROW)
    same_lines = len(assignment) <= _MOST_LINES
    with new_axes((2.4, 0.2 * min(len(assignment), _MOST_LINES) + 0.4), len(chosen), in_a_row) as axes:
        for number, (ax, one) in enumerate(zip(axes, chosen, strict=True)):
            title = f"{wrapped(shown(one.name), room(ax)[0], font_size(ax))}\n{_distance(one)}"
            hidden = "" if same_lines else f"\n{_MOST_LINES} of {len(assignment):,} partitions"
            ax.set_title(printable(title + hidden), fontsize=font_size(ax), fontweight="normal")
            _draw(ax, read[one.name], _lines(one, read[one.name], assignment, report))
            if same_lines and number % in_a_row:
                ax.tick_params(labelleft=False)
    return root_figure(axes[0])


def _chosen(report: FeatureReport, columns: Sequence[str]) -> list[FeatureSkew]:
    by_name = {one.name: one for one in report.columns}
    wrong = [name for name in columns if name not in by_name]
    if wrong or not columns or isinstance(columns, str):
        raise ValueError(
            f"columns must be a list of columns of the report, got {columns!r:.80}; it has {listed(by_name)}"
        )
    return [by_name[name] for name in columns]


def _distance(one: FeatureSkew) -> str:
    return f"{one.distance:.2f} (chance {one.chance:.2f})"


def _lines(one: FeatureSkew, column: Column, assignment: Assignment, report: FeatureReport) -> list[_Line]:
    """Return all rows and the partitions to draw, in the order of their ids."""
    before = np.concatenate([[0], np.cumsum(~column.missing)])
    starts, stops = before[assignment.offsets[:-1]], before[assignment.offsets[1:]]
    most = np.sort(by_difference(stops - starts, one.distances, one.chances)[:_MOST_LINES])
    return [
        _Line("all rows", column.values),
        *(_Line(report.partitions[i], column.values[starts[i] : stops[i]]) for i in most.tolist()),
    ]


def _draw(ax: Axes, column: Column, lines: Sequence[_Line]) -> None:
    if column.kind in ("numeric", "date") or (column.kind == "ordinal" and len(column.categories) > _MOST_CATEGORIES):
        _draw_quantiles(ax, column, lines)
    else:
        _draw_shares(ax, column, lines)
    ax.set_ylim(len(lines) - 0.5, -0.6)
    ax.axhline(0.5, color=GREY, linewidth=0.8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    empty = [place for place, line in enumerate(lines) if not len(line.values)]
    ax.scatter(np.full(len(empty), 0.03), empty, s=20, color=GREY, marker="x", transform=ax.get_yaxis_transform())
    name_side(ax, "y", "", [line.name for line in lines])


def _draw_quantiles(ax: Axes, column: Column, lines: Sequence[_Line]) -> None:
    per_day = 86_400e9 if column.kind == "date" else 1.0  # matplotlib counts days, and pandas nanoseconds
    places = np.array([place for place, line in enumerate(lines) if len(line.values)], dtype=np.int64)
    quantiles = np.array([np.quantile(lines[place].values / per_day, _SHARES) for place in places.tolist()])
    low, first, median, third, high = quantiles.reshape(-1, len(_SHARES)).T
    if len(places):
        ax.axvspan(first[0], third[0], color=PALE, zorder=0)
    ax.hlines(places, low, high, color=BLUE, linewidth=1.2)
    ax.hlines(places, first, third, color=BLUE, linewidth=6.5)
    ax.scatter(median, places, s=22, color="white", edgecolors=BLUE, linewidths=1.2, zorder=3, clip_on=False)
    _scale(ax, column)


def _scale(ax: Axes, column: Column) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if column.kind == "date":
        dates = AutoDateLocator(column.zone, minticks=2, maxticks=4)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(dates)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(dates, column.zone))  # type: ignore[no-untyped-call]
        return
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    if column.kind == "ordinal":
        names = [shown(name) for name in column.categories]
        ax.set_xlim(-0.5, len(names) - 0.5)
        name_side(ax, "x", "", names)


def _draw_shares(ax: Axes, column: Column, lines: Sequence[_Line]) -> None:
    count = len(column.categories)
    shares = np.array([np.bincount(line.values, minlength=count) / max(len(line.values), 1) for line in lines])
    if column.kind == "missing":
        codes, names = [1], ["missing"]
    else:
        order = range(count) if column.kind == "ordinal" else np.argsort(-shares[0], kind="stable").tolist()
        codes = list(order)[: _MOST_CATEGORIES if count <= _MOST_CATEGORIES else _MOST_CATEGORIES - 1]
        names = [shown(column.categories[code]) for code in codes]
    pieces = [*shares[:, codes].T]
    colors = layers(len(codes), 0.95)
    if column.kind != "missing" and len(codes) < count:
        pieces.append(1 - shares[:, codes].sum(axis=1))
        names.append(f"{count - len(codes):,} others")
        colors.append(OTHERS)
    left, places = np.zeros(len(lines)), np.arange(len(lines))
    held = np.array([len(line.values) > 0 for line in lines])
    for piece, color, name in zip(pieces, colors, names, strict=False):
        ax.barh(
            places[held], piece[held], 0.74, left[held], color=color, edgecolor="white", linewidth=0.6,
            hatch="////" if color is OTHERS else None, label=in_legend(name),
        )  # fmt: skip
        left += piece
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    _add_legend(ax, names)


def _add_legend(ax: Axes, names: Sequence[str]) -> None:
    """Name the categories below the picture, in as many columns as fit."""
    size = 0.85 * font_size(ax)
    widest = max(text_width(name, size) for name in names) + 3.5 * size
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -22 / room(ax)[1]), ncols=max(int(room(ax)[0] / widest), 1),
        fontsize=size, frameon=False, handlelength=1, handletextpad=0.5, columnspacing=1.2, labelspacing=0.3,
        borderpad=0,
    )  # fmt: skip
