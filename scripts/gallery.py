"""Draw the pictures of the pages listed below: run their code, and save `figure` for each image that follows a block.

python scripts/gallery.py [FOLDER]   FOLDER defaults to docs
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import social_card
from matplotlib.figure import Figure
from PIL import Image

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = [
    "drift.md",
    "four-clinics.md",
    "how-to/compare.md",
    "how-to/fair-to-every-site.md",
    "how-to/synthetic.md",
    "kinds.md",
    "pictures.md",
    "shifts.md",
    "start/index.md",
    "start/methods.md",
    "start/tables.md",
    "study.md",
    "tutorial.md",
    "which-partitioner.md",
]
# Twice the pixels of the page, for sharp screens; scripts/site/hooks.py shows them at half this size.
DOTS_PER_INCH = 220
BLOCK_OR_IMAGE = re.compile(r"^```python\n(?P<code>.*?)^```|^!\[[^\]]*\]\((?P<image>[^)]+)\)", re.MULTILINE | re.DOTALL)


def pictures(page: str) -> Iterator[tuple[Path, Figure]]:
    """Yield the path of each image on a page, relative to docs, and its figure."""
    names: dict[str, object] = {}
    for found in BLOCK_OR_IMAGE.finditer((DOCS / page).read_text(encoding="utf-8")):
        if found["code"]:
            exec(found["code"], names)
        else:
            figure = names["figure"]
            assert isinstance(figure, Figure)
            # A page in a folder refers to ../assets.
            yield Path(os.path.normpath(Path(page).parent / found["image"])), figure


def main() -> None:
    """Draw all pictures."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else DOCS
    for page in PAGES:
        with tempfile.TemporaryDirectory() as empty, chdir(empty):  # where a page keeps its files
            save(page, folder)
    social_card.save(folder)


def save(page: str, folder: Path) -> None:
    """Draw the pictures of a page."""
    for image, figure in pictures(page):
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=DOTS_PER_INCH)
        # Few colours look the same and take a third of the bytes. This also drops matplotlib's metadata.
        colors = Image.open(png).convert("RGB").quantize(64)
        colors.save(path, optimize=True, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
