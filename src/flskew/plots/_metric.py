"""A metric by round, and the spread of the clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.plots._canvas import draw_on, font_size, printable, room
from flskew.plots._numbers import Fractions, Numbers, read_fractions, read_numbers
from flskew.plots._style import BANDS, BLUE, grid, legend_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import ColorType

__all__ = ["accuracy", "metric", "style_axes"]

# Up to this many clients are shown individually; more are shown as bands.
_MOST_SINGLE = 10
# Points: if rounds are closer together, their markers would overlap.
_NARROWEST_MARKED = 9


def accuracy(
    clients: Mapping[int, Fractions] | Sequence[Fractions] | NDArray[np.floating],
    central: Mapping[int, float] | Fractions | None = None,
    *,
    ax: Axes | None = None,
) -> Figure:
    """Draw the accuracy after each round: the median of the clients, their spread, and the server's accuracy.

    Use it when you want to see whether training converges, and how far clients are apart.

    The median and the server's accuracy are lines with different markers. Up to ten clients are circles. With more, a
    pale band reaches from the worst to the best client, and a darker one covers the middle half of them.

    Args:
        clients: A mapping from each round to one number between 0 and 1 per accepted reply; or
            (num_rounds, num_clients) numbers, starting with round 1. Rounds may have different numbers of clients; NaN
            stands for a client that failed.
        central: A mapping from each round to the accuracy on the server's test set; or one number per round, starting
            with round 1.
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is not an Axes, or an argument contains anything but numbers.
        ValueError: A number is not between 0 and 1, there are no numbers, or `central` has several for one round.

    Examples:
        >>> from flskew import plots
        >>> figure = plots.accuracy(
        ...     [[0.4, 0.6], [0.7], [0.8, 0.9]],
        ...     central={0: 0.1, 1: 0.5, 2: 0.7, 3: 0.8},
        ... )
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['server', 'clients: median', 'clients: each']
    """
    return _picture(clients, central, read_fractions, partial(_draw, label="accuracy in %", are_fractions=True), ax)


def metric(
    clients: Mapping[int, Numbers] | Sequence[Numbers] | NDArray[np.floating],
    central: Mapping[int, float] | Numbers | None = None,
    *,
    name: str,
    unit: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw any metric after each round, such as a loss: the clients' median, their spread, and the server's value.

    Use it when your metric is not an accuracy.

    The median of the clients and the server's value are lines with different markers. Up to ten clients are circles.
    With more, a pale band covers all clients, and a darker one the middle half of them. The axis has the unit of the
    metric, and covers the numbers.

    Args:
        clients: A mapping from each round to one finite number per accepted reply, as `History.metric` returns; or
            (num_rounds, num_clients) numbers, starting with round 1. NaN stands for a client that failed.
        central: A mapping from each round to the metric on the server's test set; or one number per round, starting
            with round 1.
        name: What the axis is called, such as "RMSE".
        unit: The unit of the metric, such as "mmol/l".
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is not an Axes, or an argument contains anything but numbers.
        ValueError: A number is infinite, there are no numbers, or `central` has several for one round.

    Examples:
        >>> from flskew import plots
        >>> figure = plots.metric([[2.5, 4.0], [2.0, 3.5]], name="RMSE", unit="mmol/l")
        >>> figure.axes[0].get_ylabel()
        'RMSE in mmol/l'
    """
    label = printable(f"{name} in {unit}" if unit else name)
    return _picture(clients, central, read_numbers, partial(_draw, label=label, are_fractions=False), ax)


def _picture(
    clients: Mapping[int, Numbers] | Sequence[Numbers] | NDArray[np.floating],
    central: object,
    read: Callable[..., dict[int, NDArray[np.float64]]],
    draw: Callable[..., None],
    ax: Axes | None,
) -> Figure:
    on_server = {} if central is None else _by_round("central", central, read)
    by_round = {} if on_server and len(clients) == 0 else _by_round("clients", clients, read)
    for server_round, values in on_server.items():
        if len(values) > 1:
            raise ValueError(f"central must contain one number per round, got {len(values)} for round {server_round}")
    return draw_on(ax, (4.6, 3.0), partial(draw, by_round=by_round, on_server=on_server))


def _by_round(
    name: str, given: object, reader: Callable[..., dict[int, NDArray[np.float64]]]
) -> dict[int, NDArray[np.float64]]:
    """Return the numbers of each round without NaN, leaving out rounds without numbers."""
    read = reader(name, given, "round", first=1)
    known = {checks.integer("round", number): values[~np.isnan(values)] for number, values in read.items()}
    return {number: np.atleast_1d(known[number]) for number in sorted(known) if known[number].size}


def _draw(
    axes: Sequence[Axes],
    by_round: Mapping[int, NDArray[np.float64]],
    on_server: Mapping[int, NDArray[np.float64]],
    label: str,
    *,
    are_fractions: bool,
) -> None:
    (ax,) = axes
    rounds = np.array(sorted({*by_round, *on_server}))
    place = room(ax)[0] * np.diff(rounds, prepend=rounds[0] - 1).min() / (rounds[-1] - rounds[0] + 1)
    if on_server:
        _line(ax, on_server, ax.xaxis.label.get_color(), "o", place, "server")
    if by_round:
        _line(ax, by_round, BLUE, "s", place, "clients: median")
        _draw_clients(ax, by_round, place)
    counts = sorted({len(values) for values in by_round.values()})
    style_axes(ax, rounds, label)
    if are_fractions:
        from matplotlib.ticker import PercentFormatter

        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    if len(counts) > 1:
        ax.set_xlabel(f"round\n{counts[0]} to {counts[-1]} clients in a round")
    legend_beside(ax, 0.9 * font_size(ax))


def style_axes(ax: Axes, rounds: NDArray[np.int64], label: str) -> None:
    """Label axes whose horizontal side has these rounds."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(rounds[0] - 0.5, rounds[-1] + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.set_ylabel(label)
    ax.set_xlabel("round")
    grid(ax, "y")
    ax.spines[["top", "right"]].set_visible(False)


def _line(
    ax: Axes, values: Mapping[int, NDArray[np.float64]], color: ColorType, marker: str, place: float, label: str
) -> None:
    """Draw the median of each round, with a marker if there is room."""
    medians = [float(np.median(one)) for one in values.values()]
    shape = marker if place > _NARROWEST_MARKED or len(values) == 1 else ""
    ax.plot(
        list(values),
        medians,
        color=color,
        linewidth=1.8,
        marker=shape,
        markersize=5,
        zorder=4,
        clip_on=False,
        label=label,
    )


def _draw_clients(ax: Axes, by_round: Mapping[int, NDArray[np.float64]], place: float) -> None:
    rounds, values = np.array(list(by_round)), list(by_round.values())
    if max(map(len, values)) <= _MOST_SINGLE:
        ax.scatter(
            np.repeat(rounds, list(map(len, values))),
            np.concatenate(values),
            s=min(max(0.4 * place, 2), 5) ** 2,
            facecolors="none",
            edgecolors=BLUE,
            linewidths=0.8,
            zorder=3,
            clip_on=False,
            label="clients: each",
        )
        return
    edges = np.arange(rounds[0], rounds[-1] + 2) - 0.5
    # NaN leaves a gap at rounds without clients.
    worst, low, high, best = np.full((4, len(edges) - 1), np.nan)
    for band, share in zip((worst, low, high, best), (0, 0.25, 0.75, 1), strict=True):
        band[rounds - rounds[0]] = [np.quantile(one, share) for one in values]
    ax.stairs(high, edges, baseline=low, fill=True, color=BANDS[0], zorder=3, label="clients: middle half")
    ax.stairs(best, edges, baseline=worst, fill=True, color=BANDS[1], zorder=2, label="clients: all")
