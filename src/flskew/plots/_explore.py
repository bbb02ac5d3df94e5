"""Sliders for a notebook: schemes and their parameters, with picture, measures and code."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

import flskew  # which loads a partitioner, and with it Flower Datasets, when it is first used
from flskew.assignment import Assignment
from flskew.plots._dots import dots
from flskew.skew.report import report
from flskew.typing import Labels

if TYPE_CHECKING:
    from ipywidgets import VBox

    from flskew.partitioners import Partitioner

__all__ = ["explore"]

_DIGITS = ("1", "1.5", "2", "3", "5", "7")
_ALPHAS = [*(float(f"{digits}e{power}") for power in (-2, -1, 0, 1) for digits in _DIGITS), 100.0]
_MOST_CLIENTS, _MOST_SHARDS = 50, 10
_PIXELS_PER_INCH, _SHARPNESS = 96, 2

_Settings: TypeAlias = Mapping[str, Any]
"""The values of the controls by name, the `classes`, and the number of `rows`."""


def _equal_sizes(given: _Settings) -> list[int]:
    size, larger = divmod(given["rows"], given["clients"])
    return [size + (client < larger) for client in range(given["clients"])]


# What makes the partitioner of each scheme, and which controls it has in addition to `clients` and `seed`.
_SCHEMES: dict[str, tuple[Callable[[_Settings], Partitioner], tuple[str, ...]]] = {
    "IID": (lambda given: flskew.IidPartitioner(given["clients"], seed=given["seed"]), ()),
    "Dirichlet": (
        lambda given: flskew.DirichletPartitioner(given["clients"], alpha=given["alpha"], seed=given["seed"]),
        ("alpha",),
    ),
    "Label exclusion": (
        lambda given: flskew.LabelExclusionPartitioner.random(
            given["clients"], given["classes"], given["excluded"], seed=given["seed"]
        ),
        ("excluded",),
    ),
    "Pathological": (
        lambda given: flskew.PathologicalPartitioner(
            given["clients"], num_classes_per_partition=given["held"], seed=given["seed"]
        ),
        ("held",),
    ),
    "Extended Dirichlet": (
        lambda given: flskew.ExtendedDirichletPartitioner(
            given["clients"], num_classes_per_partition=given["held"], alpha=given["alpha"], seed=given["seed"]
        ),
        ("held", "alpha"),
    ),
    "Shards": (
        lambda given: flskew.ShardPartitioner(
            given["clients"], num_shards_per_partition=given["shards"], seed=given["seed"]
        ),
        ("shards",),
    ),
    "Inner Dirichlet": (
        lambda given: flskew.InnerDirichletPartitioner(_equal_sizes(given), alpha=given["alpha"], seed=given["seed"]),
        ("alpha",),
    ),
    "Sizes": (
        lambda given: flskew.QuantityPartitioner(given["clients"], alpha=given["alpha"], seed=given["seed"]),
        ("alpha",),
    ),
    "Partly IID": (
        lambda given: flskew.MixturePartitioner(
            flskew.PathologicalPartitioner(
                given["clients"], num_classes_per_partition=given["held"], seed=given["seed"]
            ),
            given["iid_fraction"],
        ),
        ("held", "iid_fraction"),
    ),
}


def explore(labels: Labels | None = None) -> VBox:
    """Show controls for a partitioner in a notebook; the picture, the measures and the code follow at once.

    Use it when you do not know yet which scheme you want, or how skewed a parameter makes your data.

    The picture is that of `flskew.plots.dots`, the measures are those of `flskew.skew.report`, and the code makes
    exactly the split that you see, so you can copy it. It needs ipywidgets and matplotlib, which the extra `notebook`
    installs.

    Args:
        labels: One label per row of your data, as `assign` accepts; by default, ten classes with 600 rows each.

    Returns:
        A widget, which a notebook shows if it is the last line of a cell.

    Raises:
        ImportError: ipywidgets or matplotlib is not installed.
        TypeError: The labels have a type that cannot be split.
        ValueError: There are no labels.

    Examples:
        >>> from flskew import plots
        >>> labels = ["cat", "dog", "fox"] * 200
        >>> widget = plots.explore(labels)  # end the cell with `widget`
    """
    try:
        import ipywidgets
    except ModuleNotFoundError as error:
        raise ImportError(
            "plots.explore needs ipywidgets, which is not installed; pip install 'flskew[notebook]'"
        ) from error
    given = np.repeat(np.arange(10), 600) if labels is None else labels
    whole = flskew.IidPartitioner(1).assign(given)
    controls = _controls(whole)
    # A picture that is too wide shrinks, in proportion.
    picture = ipywidgets.Image(format="png", layout={"align_self": "flex-start", "flex": "0 1 auto", "min_width": "0"})
    code, measures = ipywidgets.HTML(), ipywidgets.HTML()

    def follow(_: object = None) -> None:
        make, names = _SCHEMES[controls["scheme"].value]
        for name, control in controls.items():
            control.layout.display = None if name in ("scheme", "clients", "seed", *names) else "none"
        values = {name: control.value for name, control in controls.items()}
        try:
            partitioner = make({**values, "classes": whole.classes, "rows": whole.num_rows})
            split = partitioner.assign(given)
        except ValueError as error:  # such as too few rows for the clients
            code.value, measures.value, picture.layout.display = "", _pre(str(error)), "none"
            return
        code.value = _pre(f"split = {partitioner!r}.assign(labels)")
        # The title and the measures, but neither the table of partitions nor the remarks.
        measures.value = _pre("\n\n".join(str(report(split)).split("\n\n")[:2]))
        picture.value, picture.layout.width = _drawn(split)
        picture.layout.display = None

    for control in controls.values():
        control.observe(follow, names="value")
    follow()
    side = ipywidgets.VBox([*controls.values(), measures], layout={"flex": "0 0 auto"})
    return ipywidgets.VBox([ipywidgets.HBox([side, picture]), code])


def _controls(whole: Assignment) -> dict[str, Any]:
    """Return the controls by the names that the schemes use."""
    import ipywidgets

    num_classes = len(whole.classes)

    def slider(description: str, value: int, least: int, most: int) -> Any:
        return ipywidgets.IntSlider(min(value, most), least, most, description=description, style=wide)

    wide = {"description_width": "9em"}
    return {
        "scheme": ipywidgets.Dropdown(options=list(_SCHEMES), value="Dirichlet", description="Scheme", style=wide),
        "clients": slider("Clients", 10, 1, min(_MOST_CLIENTS, whole.num_rows)),
        "held": slider("Classes per client", 2, 1, num_classes),
        "excluded": slider("Classes excluded", min(3, num_classes // 2), 0, num_classes - 1),
        "shards": slider("Shards per client", 2, 1, _MOST_SHARDS),
        "alpha": ipywidgets.SelectionSlider(options=_ALPHAS, value=0.3, description="alpha", style=wide),
        "iid_fraction": ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.05, description="IID fraction", style=wide),
        "seed": ipywidgets.IntText(42, description="Seed", style=wide),
    }


def _drawn(split: Assignment) -> tuple[bytes, str]:
    """Return a picture as PNG, and its width on the screen."""
    figure, png = dots(split), io.BytesIO()
    figure.savefig(png, format="png", dpi=_SHARPNESS * _PIXELS_PER_INCH)
    return png.getvalue(), f"{figure.get_size_inches()[0] * _PIXELS_PER_INCH:.0f}px"


def _pre(text: str) -> str:
    return f'<pre style="line-height: 1.4; white-space: pre-wrap">{html.escape(text)}</pre>'
