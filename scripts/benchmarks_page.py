"""Write docs/benchmarks.md: every claim about speed and memory, with the figures of `make bench`.

python scripts/benchmarks_page.py [PAGE]   by default the page of the site
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from figures import MADE_BY, made_with, number, seconds, table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

INTRODUCTION = """
# Benchmarks

Every claim that these pages make about speed or memory, against a peer. A ratio is of two times that were taken in turn
in one run on one machine, so it holds where the seconds do not. Where there were several such pairs it is the median
of their ratios, which is not quite that of the medians beside it. Below each table are the day, the machine and the
versions. `make bench` measures all of it anew, and this page is made of the JSON that it writes under
`benchmarks/results/`.
"""

MISSING = "No figures are kept for this; `make bench` measures it."


def page(results: Path) -> str:
    """Return the page."""
    sections = [MADE_BY, INTRODUCTION]
    for name, (title, text, rows) in SECTIONS.items():
        sections.append(f"## {title}\n\n{dedent(text).strip()}\n\nMeasured by `benchmarks/{name}.py`.")
        path = results / f"{name}.json"
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            header, body = rows(content)
            sections += [table(header, body), made_with(content["about"])]
        else:
            sections.append(MISSING)
    return "\n\n".join(section.strip() for section in sections) + "\n"


Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]


def partitioners(content: dict[str, Any]) -> Rows:
    """Return the times to a first partition, and those over the floor."""
    rows = []
    for record in content["records"]:
        if record.get("peer", "").startswith("flwr-datasets: "):
            rows.append((f"{record['scheme']}, {record['rows']:,} rows", "", "", "refused by the peer"))
        elif "ratio" in record:
            order = "shuffled" if record["shuffled"] else "in order"
            what = f"{record['scheme']}, {record['rows']:,} rows {order}, {record['partitions']:,} partitions"
            rows.append((what, *_times(record["ours_s"], record["peer_s"]), _times_as_fast(record["ratio"])))
        elif "times_the_floor" in record:
            what = f"{record['rows']:,} rows, {record['classes']:,} classes, all {record['partitions']:,} partitions"
            ratio = f"{number(record['times_the_floor'])} times the permutation"
            rows.append((what, *_times(record["ours_s"], record["peer_s"]), ratio))
        else:
            what = f"{record['rows']:,} rows: memory beside the labels"
            rows.append((what, f"{number(record['peak_gb_above_labels'])} GB", "", ""))
    return ("", "flskew", "peer", "ratio"), rows


def aggregation(content: dict[str, Any]) -> Rows:
    """Return the times of averaging, by dtype, and the memory in models."""
    rows = []
    for record in content["records"]:
        if record["what"] == "time":
            same = ", same bytes" if record["same_bytes"] else ""
            what = f"{record['clients']} replies of 10 million {DTYPES[record['dtype']]}{same}"
            rows.append(
                (what, *_times(record["ours_s"], record["peer_s"]), _with_range(record, "ratio_from", "ratio_to"))
            )
        elif record["what"] == "peak memory":
            what = f"{record['clients']} replies: peak memory beside them"
            cells = {"ours": (f"{record['models']:.2f} models", ""), "theirs": ("", f"{record['models']:.2f} models")}
            rows.append((what, *cells[record["function"]], ""))
        else:
            ratio = f"{number(record['ratio'])} times a round of good replies"
            rows.append((f"{record['clients']} replies, one with a NaN", "", "", ratio))
    return ("", "flskew, checks included", "Flower, the mean alone", "ratio"), rows


DTYPES = {"f2": "float16", "f4": "float32", "f8": "float64", "i8": "int64"}


def parameters(content: dict[str, Any]) -> Rows:
    """Return the times from a message to arrays and back."""
    rows = [
        (
            record["what"], *_times(record["ours_ms"] / 1e3, record["flwr_ms"] / 1e3),
            _with_range({**record, "ratio": record["times_as_fast"]}, "lower_quartile", "upper_quartile"),
        )
        for record in content["records"]
    ]  # fmt: skip
    return (f"{content['parameters']:,} float32", "flskew", "Flower", "ratio"), rows


def proximal(content: dict[str, Any]) -> Rows:
    """Return what the term adds to a step."""
    (record,) = content["records"]
    rows = [
        (name, f"{record[key]:+.0%}", " to ".join(f"{quartile:+.0%}" for quartile in record[f"{key}_quartiles"]))
        for name, key in (("ProximalTerm, attached", "term_adds"), ("as part of the loss", "autograd_adds"))
    ]
    step = seconds(record["plain_us"] / 1e6)
    return (f"a step of {step} becomes longer by", "median", "middle half"), rows


def simulation(content: dict[str, Any]) -> Rows:
    """Return the times of whole runs."""
    records = content["records"]
    ratio = records.get("times_as_fast_as_run_simulation")
    peer = seconds(records["run_simulation_s"]) if ratio else "not installed"
    rows = [
        (
            "3 clients, 3 rounds of training and evaluation", seconds(records["simulate_3_clients_3_rounds_s"]), peer,
            _times_as_fast(ratio) if ratio else "",
        ),
        ("1,000 clients, 10 rounds", seconds(records["simulate_1000_clients_10_rounds_s"]), "", ""),
        ("a message to a client, and its reply", seconds(records["ms_per_message"] / 1e3), "", ""),
    ]  # fmt: skip
    return ("clients that do nothing", "simulate", "run_simulation on Ray", "ratio"), rows


def deployment(content: dict[str, Any]) -> Rows:
    """Return the time of a round on each engine."""
    fastest = content["records"][0]["round_s"]
    rows = [
        (
            record["engine"], seconds(record["round_s"]),
            seconds(record["start_s"]) if record["start_s"] > 0 else "too short to tell",
            f"{number(record['round_s'] / fastest)} times the first",
        )
        for record in content["records"]
    ]  # fmt: skip
    return ("", "a round", "start and end", "ratio of rounds"), rows


def skew(content: dict[str, Any]) -> Rows:
    """Return the time and the memory of the measures."""
    time, memory = content["time"], content["memory"]["copies_of_the_counts"]
    rows = [
        ("time", *_times(time["measures_s"], time["one_pass_s"]), f"{number(time['ratio'])} times the sum"),
        ("memory beside the counts", f"{memory:.2f} copies of them", "", ""),
    ]
    return ("all measures of 10,000 clients by 1,000 classes", "flskew", "sum of the counts", "ratio"), rows


def import_time(content: dict[str, Any]) -> Rows:
    """Return the times of the two imports."""
    (record,) = content["records"]
    times = _times(record["flskew_ms"] / 1e3, record["numpy_ms"] / 1e3)
    ratio = f"{record['ratio']:.2f} ({record['lower_quartile']:.2f} to {record['upper_quartile']:.2f})"
    return ("", "import flskew", "import numpy", "ratio"), [("a fresh interpreter", *times, ratio)]


SECTIONS = {
    "partitioners": (
        "Partitioners",
        """
        The time to the first partition of a data set, against the partitioner of the same name in Flower Datasets; and
        that of a whole Dirichlet split, against one random permutation of as many rows, about what dealing at random
        costs. The time grows with the rows and the classes, and no draw is ever repeated. The IidPartitioner of Flower
        Datasets cuts the rows in their order; flskew's shuffles them first.
        """,
        partitioners,
    ),
    "aggregation": (
        "Averaging replies",
        """
        All that `FedAvg` does with the replies of a round, its checks included, against Flower's
        `aggregate_arrayrecords` alone. The memory of averaging is one model, whatever the number of clients. Integers
        stay integers, which takes time; Flower's come back as float64. The range is that of all pairs.
        """,
        aggregation,
    ),
    "parameters": (
        "From a message to NumPy and back",
        """
        Arrays are read as views of the message's bytes, against Flower's `to_numpy_ndarrays` and `ArrayRecord(list)`.
        A client gets arrays of its own, since it may change them. The range is that of the middle half of the pairs.
        """,
        parameters,
    ),
    "proximal": (
        "The proximal term",
        """
        A training step of PyTorch, for a perceptron of 784-128-10 and batches of 64 on one thread, with the term
        attached to the optimizer, and with the term as part of the loss.
        """,
        proximal,
    ),
    "simulation": (
        "Simulation",
        """
        Whole runs in this process, against Flower's `run_simulation`, whose time includes the start of Ray.
        """,
        simulation,
    ),
    "deployment": (
        "Flower's engines",
        """
        A round of the three hospitals, training and evaluation, on scikit-learn's digits: in this process, on Flower's
        Ray simulation, and on a SuperLink with three SuperNodes on this machine.
        """,
        deployment,
    ),
    "skew": ("Measures of skew", "All measures of one split, against a single pass over its counts.", skew),
    "import_time": (
        "The import",
        """
        `import flskew` loads nothing heavy: no Flower, no NumPy, no framework, until a name is used. The range is that
        of the middle half of the pairs.
        """,
        import_time,
    ),
}


def _times(ours: float, peer: float) -> tuple[str, str]:
    return seconds(ours), seconds(peer)


def _times_as_fast(ratio: float) -> str:
    return f"{number(ratio)} times as fast" if ratio >= 1 else f"{number(1 / ratio)} times as slow"


def _with_range(record: dict[str, Any], lower: str, upper: str) -> str:
    low, high = record[lower], record[upper]
    if record["ratio"] < 1:
        low, high = 1 / high, 1 / low
    return f"{_times_as_fast(record['ratio'])} ({number(low)} to {number(high)})"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "benchmarks.md"
    target.write_text(page(RESULTS), encoding="utf-8")
    print(f"wrote {target.name}")
