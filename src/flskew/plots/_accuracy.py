"""Accuracy by round, and how the clients spread around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.plots._canvas import BLUE, GREY, Size, font_size, open_axes, room, root_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import ColorType

__all__ = ["accuracy"]

Numbers: TypeAlias = Sequence[float] | NDArray[np.floating[Any]]

# So many clients are shown one by one; of more, the spread.
_MOST_SINGLE = 10
# Points: rounds closer to each other run together into a band.
_NARROWEST_APART = 4


def accuracy(
    clients: Mapping[int, Numbers] | Sequence[Numbers] | NDArray[np.floating[Any]],
    central: Mapping[int, float] | Numbers | None = None,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the accuracy after each round: of the clients their median and their spread, and of the server, if any.

    Up to ten clients are dots. Of more, a bar runs from the worst to the best, and a broader one over the middle half.

    Args:
        clients: For each round, by its number, one number between 0 and 1 for each client whose reply counted; or
            (num_rounds, num_clients) numbers, the first round being 1. Rounds may differ in their clients; NaN is a
            client that failed.
        central: For each round, by its number, the accuracy on the server's test set; or one number per round, the
            first round being 1.
        ax: Where to draw; by default on a figure of its own.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is something else than an Axes.
        ValueError: A number is not between 0 and 1, there is none, or more than one of the server for a round.

    Examples:
        >>> from flskew import plots
        >>> figure, axes = plots.accuracy([[0.4, 0.6], [0.7], [0.8, 0.9]], central={0: 0.1, 1: 0.5, 2: 0.7, 3: 0.8})
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['server', 'clients: median', 'clients: each']
    """
    by_round = _read("clients", clients)
    on_server = {} if central is None else _read("central", central)
    for server_round, values in on_server.items():
        if len(values) > 1:
            raise ValueError(f"central must hold one number for each round, got {len(values)} for round {server_round}")
    rounds = sorted({*by_round, *on_server})
    if not rounds:
        raise ValueError("clients must hold at least one number, got none")
    axes = open_axes(ax, Size(4.6, 3, right=1.8))
    nearest = min((later - earlier for earlier, later in pairwise(rounds)), default=1)
    place = room(axes)[0] * nearest / (rounds[-1] - rounds[0] + nearest)
    if on_server:
        ink = axes.xaxis.label.get_color()
        _line(axes, {number: float(values[0]) for number, values in on_server.items()}, ink, "o", place, "server")
    if by_round:
        medians = {number: float(np.median(values)) for number, values in by_round.items()}
        _line(axes, medians, BLUE, "s", place, "clients: median")
        _draw_clients(axes, by_round, place)
    _finish(axes, rounds, sorted({len(values) for values in by_round.values()}))
    return root_figure(axes), axes


def _line(ax: Axes, values: Mapping[int, float], color: ColorType, marker: str, place: float, label: str) -> None:
    """Draw a line through what is known, with a mark at each round while there is room."""
    rounds = sorted(values)
    ax.plot(
        rounds,
        [values[number] for number in rounds],
        color=color,
        linewidth=1.8,
        marker=marker if place > 9 or len(rounds) == 1 else "",
        markersize=5,
        zorder=4,
        clip_on=False,
        label=label,
    )


def _draw_clients(ax: Axes, by_round: Mapping[int, NDArray[np.float64]], place: float) -> None:
    rounds = np.array(sorted(by_round))
    values = [by_round[number] for number in rounds.tolist()]
    if max(map(len, values)) <= _MOST_SINGLE:
        repeated = np.repeat(rounds, [len(one) for one in values])
        side = min(max(0.4 * place, 2), 5)
        ax.scatter(
            repeated,
            np.concatenate(values),
            s=side**2,
            facecolors="none",
            edgecolors=BLUE,
            linewidths=0.8,
            zorder=3,
            clip_on=False,
            label="clients: each",
        )
        return
    worst, low, high, best = np.array([np.quantile(one, (0, 0.25, 0.75, 1)) for one in values]).T
    _draw_spans(ax, rounds, low, high, place, {"color": "#7fa8cc", "zorder": 3, "label": "clients: middle half"})
    _draw_spans(ax, rounds, worst, best, place, {"color": "#c3d7e8", "zorder": 2, "label": "clients: all"})


def _draw_spans(
    ax: Axes,
    rounds: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    place: float,
    look: Mapping[str, Any],
) -> None:
    if place >= _NARROWEST_APART:
        ax.vlines(rounds, low, high, linewidth=min(0.6 * place, 9), **look)
        return
    edges = np.arange(rounds[0], rounds[-1] + 2) - 0.5
    bottom, top = np.full((2, len(edges) - 1), np.nan)
    bottom[rounds - rounds[0]], top[rounds - rounds[0]] = low, high
    ax.stairs(top, edges, baseline=bottom, fill=True, **look)


def _finish(ax: Axes, rounds: Sequence[int], numbers_of_clients: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    ax.set_xlim(rounds[0] - 0.5, rounds[-1] + 0.5)
    ax.set_ylim(0, 1)
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    ax.set_ylabel("accuracy in %")
    clients = f"{numbers_of_clients[0]} to {numbers_of_clients[-1]} clients" if len(numbers_of_clients) > 1 else ""
    ax.set_xlabel(f"round\n{clients} in a round" if clients else "round")
    ax.grid(axis="y", color=GREY, alpha=0.3, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1.02), frameon=False, fontsize=0.9 * font_size(ax))


def _read(name: str, given: object) -> dict[int, NDArray[np.float64]]:
    """Return for each round its numbers, without NaN, and no round without numbers."""
    if isinstance(given, Mapping):
        by_round = dict(given)
    elif isinstance(given, Sequence | np.ndarray) and not isinstance(given, str):
        by_round = dict(enumerate(given, start=1))
    else:
        raise TypeError(f"{name} must be a mapping from rounds to numbers, or a sequence, got {type(given).__name__}")
    read = {}
    for server_round, numbers in by_round.items():
        try:
            values = np.atleast_1d(np.asarray(numbers, dtype=np.float64))
        except (TypeError, ValueError):
            raise TypeError(f"{name} must hold numbers, got {numbers!r:.60} for round {server_round!r}") from None
        if values.ndim > 1:
            raise ValueError(
                f"{name} must hold the numbers of a round in one dimension, got an array of shape {values.shape} for "
                f"round {server_round}; one metric at a time is drawn"
            )
        values = values[~np.isnan(values)]
        wrong = values[(values < 0) | (values > 1)]
        if len(wrong):
            raise ValueError(
                f"{name} must be between 0 and 1, got {wrong[0]:g} for round {server_round}; divide percentages by 100"
            )
        if len(values):
            read[checks.integer("round", server_round)] = values
    return read
