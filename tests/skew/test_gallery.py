"""The pictures of docs/pictures.md are what its code draws."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from matplotlib.image import imread


def test_each_picture_of_the_page_is_the_one_that_its_code_draws(repository: Path, python: str, tmp_path: Path) -> None:
    """But for the shape of letters and edges, which differs between versions of matplotlib."""
    subprocess.run([python, repository / "scripts" / "gallery.py", tmp_path], check=True, capture_output=True)
    drawn = {path.relative_to(tmp_path): imread(path) for path in tmp_path.rglob("*.png")}
    docs = repository / "docs"
    assert drawn.keys() == {path.relative_to(docs) for path in (docs / "assets" / "pictures").iterdir()}
    for path, pixels in drawn.items():
        shown = imread(docs / path)
        assert shown.shape == pixels.shape, path
        assert np.abs(shown - pixels).mean() < 0.02, path
        assert (docs / path).stat().st_size < 80_000, path
