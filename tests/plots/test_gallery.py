"""The pictures on the site are drawn by the code on their pages."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread


@pytest.mark.long
def test_each_picture_on_a_page_is_drawn_by_the_code_above_it(repository: Path, python: str, tmp_path: Path) -> None:
    """Compared at low resolution, because text and edges differ between versions of matplotlib."""
    subprocess.run([python, repository / "scripts" / "gallery.py", tmp_path], check=True, capture_output=True)
    drawn = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*.png")}
    docs = repository / "docs"
    assert drawn.keys() == {path.relative_to(docs) for path in (docs / "assets").glob("*/*.png")}
    for name, path in drawn.items():
        shown, new = imread(docs / name)[..., :3], imread(path)[..., :3]
        assert shown.shape == new.shape, name
        assert np.abs(from_afar(shown) - from_afar(new)).mean() < 0.03, name
        assert (docs / name).stat().st_size < 80_000, name


def from_afar(pixels: np.ndarray) -> np.ndarray:
    """The mean colour of each square of 20 pixels."""
    height, width = (side // 20 for side in pixels.shape[:2])
    squares = pixels[: height * 20, : width * 20].reshape(height, 20, width, 20, 3)
    return np.asarray(squares.mean(axis=(1, 3)))
