"""The widget for notebooks, driven without a kernel: what it shows follows its controls."""

from __future__ import annotations

import html
import io
import re
import sys
from typing import Any

import ipywidgets
import numpy as np
import pytest

import flskew
from flskew import plots, skew
from flskew.plots import _explore

LABELS = ["cat"] * 60 + ["dog"] * 90 + ["fox"] * 150
# The controls in addition to those that all schemes have.
CONTROLS = {
    "IID": [],
    "Dirichlet": ["alpha"],
    "Label exclusion": ["Classes excluded"],
    "Pathological": ["Classes per client"],
    "Extended Dirichlet": ["Classes per client", "alpha"],
    "Shards": ["Shards per client"],
    "Inner Dirichlet": ["alpha"],
    "Sizes": ["alpha"],
    "Partly IID": ["Classes per client", "IID fraction"],
}
OTHER_VALUES = {
    "alpha": 0.05,
    "Classes excluded": 2,
    "Classes per client": 1,
    "Shards per client": 1,
    "IID fraction": 0.9,
}


class Shown:
    """The parts of a widget."""

    def __init__(self, widget: ipywidgets.VBox) -> None:
        (both, self._code) = widget.children
        (side, self.picture) = both.children
        self.controls = {control.description: control for control in side.children[:-1]}
        self._measures = side.children[-1]

    @property
    def code(self) -> str:
        return text(self._code)

    @property
    def measures(self) -> str:
        return text(self._measures)

    @property
    def visible(self) -> list[str]:
        return [name for name, control in self.controls.items() if control.layout.display != "none"]

    def everything(self) -> tuple[bytes, str, str]:
        return self.picture.value, self.measures, self.code


def text(widget: Any) -> str:
    return html.unescape(re.sub("<[^>]*>", "", widget.value))


def run(code: str, labels: object) -> flskew.Assignment:
    names: dict[str, Any] = {**vars(flskew.partitioners), "labels": labels}
    exec(code, names)
    split: flskew.Assignment = names["split"]
    return split


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint of the split stands for its picture, which takes long to draw."""
    monkeypatch.setattr(_explore, "_drawn", lambda split: (split.fingerprint.encode(), "1px"))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("scheme", CONTROLS)
def test_the_code_of_a_scheme_makes_the_split_that_is_shown_and_follows_each_control(scheme: str) -> None:
    shown = Shown(plots.explore(LABELS))
    assert list(shown.controls["Scheme"].options) == list(CONTROLS)
    shown.controls["Scheme"].value = scheme
    assert {*shown.visible} == {"Scheme", "Clients", "Seed", *CONTROLS[scheme]}
    split = run(shown.code, LABELS)
    assert len(split) == 10
    assert f"total_variation   {skew.total_variation(split):.3f}" in shown.measures
    assert bytes(shown.picture.value).decode() == split.fingerprint
    for control in CONTROLS[scheme]:
        before = shown.everything()
        shown.controls[control].value = OTHER_VALUES[control]
        assert all(one != other for one, other in zip(before, shown.everything(), strict=True))


@pytest.mark.usefixtures("undrawn")
def test_the_number_of_clients_and_the_seed_change_the_split() -> None:
    shown = Shown(plots.explore(LABELS))
    shown.controls["Clients"].value = 4
    shown.controls["Seed"].value = 7
    assert shown.code == "split = DirichletPartitioner(num_partitions=4, alpha=0.3, seed=7).assign(labels)"
    assert bytes(shown.picture.value).decode() == run(shown.code, LABELS).fingerprint


def test_without_labels_ten_classes_with_600_rows_each_are_drawn_as_dots() -> None:
    shown = Shown(plots.explore())
    assert shown.measures.startswith("10 partitions, 6,000 rows, 10 classes\n")
    figure, png = plots.dots(run(shown.code, np.repeat(np.arange(10), 600))), io.BytesIO()
    figure.savefig(png, format="png", dpi=192)
    assert shown.picture.value == png.getvalue()
    assert shown.picture.layout.width == f"{96 * figure.get_figwidth():.0f}px"


@pytest.mark.usefixtures("undrawn")
def test_inner_dirichlet_divides_all_rows_among_the_clients() -> None:
    shown = Shown(plots.explore([0, 1] * 50 + [1]))
    shown.controls["Scheme"].value = "Inner Dirichlet"
    # 101 = 10 * 10 + 1
    assert run(shown.code, [0, 1] * 50 + [1]).sizes.tolist() == [11, *[10] * 9]


@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_split_is_said_instead_of_shown_and_can_be_undone() -> None:
    shown = Shown(plots.explore([0, 1] * 30))
    shown.controls["Clients"].value = 7
    assert "min_partition_size=10 for 7 partitions needs 70 rows, got 60" in shown.measures
    assert shown.picture.layout.display == "none"
    assert shown.code == ""
    shown.controls["Clients"].value = 6
    assert shown.picture.layout.display is None
    assert len(run(shown.code, [0, 1] * 30)) == 6


@pytest.mark.usefixtures("undrawn")
def test_controls_end_at_what_the_labels_allow() -> None:
    controls = Shown(plots.explore(["cat", "dog"] * 8)).controls
    assert controls["Clients"].max == 16
    assert controls["Classes per client"].max == 2
    assert controls["Classes excluded"].max == 1


@pytest.mark.usefixtures("undrawn")
def test_text_of_labels_is_not_read_as_html() -> None:
    shown = Shown(plots.explore(["<b>cat</b>", "dog"] * 100))
    shown.controls["Scheme"].value = "Label exclusion"
    assert "'<b>cat</b>'" in shown.code


def test_labels_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(TypeError, match="floating-point"):
        plots.explore(np.linspace(0, 1, 100))
    with pytest.raises(ValueError, match="at least one row"):
        plots.explore([])


def test_without_ipywidgets_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"pip install 'flskew\[notebook\]'"):
        plots.explore()
