"""Write the measured tables on pages that are written by hand, from the results of `make bench` and `make figures`.

python scripts/page_tables.py [FOLDER]   FOLDER defaults to docs
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import made_with, percent, table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path.append(str(ROOT / "examples" / "fedprox-stragglers"))

KINDS = ("covariate shift", "prior shift", "concept drift", "concept shift", "quantity skew")


def tables() -> Iterator[tuple[str, str]]:
    """Yield each page, relative to docs, and its table, with the date and versions below it if the page has them."""
    for name, page, made in (("bad_clients", "how-to/bad-clients.md", _bad_clients), ("kinds", "kinds.md", _kinds)):
        content = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        yield page, f"{made(content)}\n\n{made_with(content['about'])}"
    from fedprox_stragglers.experiment import Results

    yield "stragglers.md", Results.load(ROOT / "docs" / "assets" / "stragglers.json").table()


def _bad_clients(content: dict[str, Any]) -> str:
    header = ["strategy", "all honest", "1 sends 3e38", "3 send 3e38", "1 sends -10 times", "3 send -10 times"]
    rows: dict[str, list[str]] = {}
    for record in content["records"]:
        error = percent(record["error"]) if record["is_finite"] else "NaN"
        ended = f", ends in {record['ended']}" if record["ended"] else ""
        rows.setdefault(record["strategy"], [record["strategy"]]).append(error + ended)
    return table(header, rows.values())


def _kinds(content: dict[str, Any]) -> str:
    rows = [
        [
            record["data"],
            str(record["partitions"]),
            *(f"{record['found'][kind] / record['splits']:.1%}" for kind in KINDS),
        ]
        for record in content["records"]
    ]
    return table(["data set", "clients", *KINDS], rows)


def replaced(page: str, new: str) -> str:
    """Return a page with the table that has the same header replaced, and what is below it if the new one has that."""
    header, below = new.split("\n", 1)[0], r"\n.+\n" if "\n\n" in new else ""
    # A table ends with the first line that does not begin with a bar.
    old = re.compile(re.escape(header) + r"\n(?:\|.*\n)+" + below)
    page, count = old.subn(lambda _: f"{new}\n", page)
    if count != 1:
        raise ValueError(f"the page must have one table with the header {header}, got {count}")
    return page


def main() -> None:
    """Write the tables."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    for name, new in tables():
        path = folder / name
        path.write_text(replaced(path.read_text("utf-8"), new), encoding="utf-8")
        print(f"wrote the table of {path.name}")


if __name__ == "__main__":
    main()
