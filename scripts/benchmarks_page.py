"""Write docs/benchmarks.md, which backs every claim about speed and memory, from the results of `make bench`.

python scripts/benchmarks_page.py [PAGE]   PAGE defaults to docs/benchmarks.md
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

Look up how fast flskew is: this page has a measurement for every claim about speed or memory in these docs. Each ratio
compares alternating timings from one run on one machine, so ratios carry over to other machines better than seconds do.
With several pairs of timings, the ratio is the median of the pairs' ratios, which can differ slightly from the ratio of
the medians shown. Below each table are the date, the machine and the versions. `make bench` repeats all measurements
and writes JSON files to `benchmarks/results/`, from which this page is generated.
"""

MISSING = "No results are stored for this benchmark; `make bench` measures it."


def page(results: Path) -> str:
    """Return the page as Markdown."""
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
    """Return the times to the first partition, and the whole split relative to a permutation."""
    rows = []
    for record in content["records"]:
        if record.get("peer", "").startswith("flwr-datasets: "):
            rows.append((f"{record['scheme']}, {record['rows']:,} rows", "", "", "unsupported by the peer"))
        elif "ratio" in record:
            order = "shuffled" if record["shuffled"] else "in order"
            what = f"{record['scheme']}, {record['rows']:,} rows {order}, {record['partitions']:,} partitions"
            rows.append((what, *_times(record["ours_s"], record["peer_s"]), _times_as_fast(record["ratio"])))
        else:
            scheme = "" if record["scheme"] == "DirichletPartitioner" else f"{record['scheme']}, "
            size = f"{record['rows']:,} rows, {record['classes']:,} classes, all {record['partitions']:,} partitions"
            ratio = f"{number(record['times_the_floor'])} times the permutation"
            rows.append((scheme + size, *_times(record["ours_s"], record["peer_s"]), ratio))
    return ("", "flskew", "peer", "ratio"), rows


def large_files(content: dict[str, Any]) -> Rows:
    """Return the times and the peak memory of splits of labels in files."""
    rows = [
        (
            record["source"], *_times(record["ours_s"], record["peer_s"]),
            f"{number(record['ours_s'] / record['peer_s'])} times the permutation", f"{number(record['peak_gb'])} GB",
        )
        for record in content["records"]
    ]  # fmt: skip
    size = f"{content['rows']:,} labels of {content['classes']} classes, {content['partitions']} partitions"
    return (size, "flskew", "NumPy: a permutation of the rows", "ratio", "peak memory"), rows


def aggregation(content: dict[str, Any]) -> Rows:
    """Return the averaging times by dtype, and the peak memory in models."""
    rows = []
    for record in content["records"]:
        if record["what"] == "time":
            same = ", same bytes" if record["same_bytes"] else ""
            what = f"{record['clients']} replies of 10 million {DTYPES[record['dtype']]}{same}"
            rows.append(
                (what, *_times(record["ours_s"], record["peer_s"]), _with_range(record, "ratio_from", "ratio_to"))
            )
        elif record["what"] == "peak memory":
            what = f"{record['clients']} replies: additional peak memory"
            cells = {"ours": (f"{record['models']:.2f} models", ""), "theirs": ("", f"{record['models']:.2f} models")}
            rows.append((what, *cells[record["function"]], ""))
        else:
            ratio = f"{number(record['ratio'])} times a round of good replies"
            rows.append((f"{record['clients']} replies, one with a NaN", "", "", ratio))
    return ("", "flskew, with checks", "Flower, mean only", "ratio"), rows


DTYPES = {"f2": "float16", "f4": "float32", "f8": "float64", "i8": "int64"}


def parameters(content: dict[str, Any]) -> Rows:
    """Return the times to convert a message to arrays and back."""
    rows = [
        (
            record["what"], *_times(record["ours_ms"] / 1e3, record["flwr_ms"] / 1e3),
            _with_range({**record, "ratio": record["times_as_fast"]}, "lower_quartile", "upper_quartile"),
        )
        for record in content["records"]
    ]  # fmt: skip
    return (f"{content['parameters']:,} float32", "flskew", "Flower", "ratio"), rows


def local_term(content: dict[str, Any]) -> Rows:
    """Return the relative cost of the term in a training step."""
    rows = [
        (
            "FedProx's term as part of the loss" if record["form"] == "loss" else f"LocalTerm, {record['form']}",
            f"{record['adds']:+.0%}",
            " to ".join(f"{quartile:+.0%}" for quartile in record["quartiles"]),
        )
        for record in content["records"]
    ]
    step = seconds(content["plain_us"] / 1e6)
    return (f"added to a step of {step}", "median", "interquartile range"), rows


def rounds(content: dict[str, Any]) -> Rows:
    """Return the cost of a round of each strategy."""
    rows = [
        (
            record["strategy"],
            *(
                f"{record[what]:.2f} ({record[f'{what}_from']:.2f} to {record[f'{what}_to']:.2f})"
                for what in ("run", "server")
            ),
            f"{record['models']:.2f} models instead of {record['fedavg_models']:.2f}",
        )
        for record in content["records"]
    ]
    return ("", "time of a round", "time on the server", "memory on the server"), rows


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
        ("one message to a client and its reply", seconds(records["ms_per_message"] / 1e3), "", ""),
    ]  # fmt: skip
    return ("clients without work", "simulate", "run_simulation on Ray", "ratio"), rows


def overhead(content: dict[str, Any]) -> Rows:
    """Return the cost of a run in addition to training, and how it grows with the clients."""
    rows = []
    for record in content["records"]:
        if record["what"] == "scale":
            clients, sampled = record["clients"], record["sampled"]
            once = f"{clients:,} clients without work, all of them once"
            some = f"{clients:,} clients without work, {record['rounds']} rounds of {sampled:,}"
            what = once if clients == sampled else some
            rows.append((what, seconds(record["seconds"]), "", "", f"{number(record['mb'])} MB"))
            continue
        ratio = f"{record['ratio']:.2f} ({record['ratio_from']:.2f} to {record['ratio_to']:.2f})"
        if record["what"] == "training":
            what = f"{record['clients']:,} clients of {record['rows']} rows, {record['rounds']} rounds of "
            what += f"{record['sampled']}, batches of {record['batch']}"
            rows.append((what, *_times(record["ours_s"], record["peer_s"]), ratio, ""))
        else:
            times = _times(record["ours_us"] / 1e6, record["peer_us"] / 1e6)
            rows.append(("one client without work in one round", *times, ratio, ""))
    return ("", "flskew", "plain loop, or Flower", "ratio", "memory"), rows


def deployment(content: dict[str, Any]) -> Rows:
    """Return the time per round on each engine."""
    fastest = content["records"][0]["round_s"]
    rows = [
        (
            record["engine"], seconds(record["round_s"]),
            seconds(record["start_s"]) if record["start_s"] > 0 else "too short to measure",
            f"{number(record['round_s'] / fastest)} times the first",
        )
        for record in content["records"]
    ]  # fmt: skip
    return ("", "one round", "startup and shutdown", "ratio of rounds"), rows


def skew(content: dict[str, Any]) -> Rows:
    """Return the time and memory of the measures."""
    time, memory = content["time"], content["memory"]["copies_of_the_counts"]
    rows = [
        ("time", *_times(time["measures_s"], time["one_pass_s"]), f"{number(time['ratio'])} times the sum"),
        ("memory in addition to the counts", f"{memory:.2f} copies of them", "", ""),
    ]
    rows = [(f"all measures of 10,000 clients by 1,000 classes: {name}", *cells) for name, *cells in rows]
    for record in content["features"]:
        what = f"feature report of 1,000,000 rows, {record['partitions']:,} partitions"
        times = _times(record["per_column_s"], record["peer_per_column_s"])
        rows.append((f"{what}: one column", *times, _times_as_fast(record["ratio"])))
        rows.append((f"{what}: 50 columns", seconds(record["ours_s"]), "", ""))
    copies = max(record["copies_of_the_table"] for record in content["features"])
    rows.append(("feature report: memory in addition to the table", f"{copies:.2f} copies of it", "", ""))
    return ("", "flskew", "peer", "ratio"), rows


def shifts(content: dict[str, Any]) -> Rows:
    """Return the time of each shift relative to NumPy, and the memory."""
    rows = []
    for record in content["records"]:
        if record["what"] == "memory":
            what = f"{record['shift']}, images of {record['dtype']}, 10 clients: memory in addition to the images"
            rows.append((what, f"{record['copies']:.1f} copies of them", "", ""))
            continue
        if record["what"] == "images":
            what = f"{record['shift']}, images of {record['dtype']}, {record['order']}"
        else:
            clients = "one client" if record["clients"] == 1 else f"{record['clients']} clients"
            what = f"{record['shift']}, table of 1,000,000 rows and 10 columns, {clients}"
        times = _times(record["ours_s"], record["peer_s"])
        low, middle, high = (number(record[name]) for name in ("ratio_from", "ratio", "ratio_to"))
        rows.append((what, *times, f"{middle} ({low} to {high})"))
    return ("", "flskew", "NumPy", "ratio"), rows


def import_time(content: dict[str, Any]) -> Rows:
    """Return the two import times."""
    (record,) = content["records"]
    times = _times(record["flskew_ms"] / 1e3, record["numpy_ms"] / 1e3)
    ratio = f"{record['ratio']:.2f} ({record['lower_quartile']:.2f} to {record['upper_quartile']:.2f})"
    return ("", "import flskew", "import numpy", "ratio"), [("a fresh interpreter", *times, ratio)]


SECTIONS = {
    "partitioners": (
        "Partitioners",
        """
        The first rows compare the time until the first partition is loaded with that of Flower Datasets' partitioner of
        the same name. The last rows compare a complete Dirichlet split with a random permutation of the same number of
        rows, which is roughly the cost of assigning rows at random. The time grows with the number of rows and classes,
        and no draw is ever repeated. `IidPartitioner` and, on small data sets, the partitioners by size are slower
        because they shuffle the rows; Flower Datasets' partitioners keep the order. `MixturePartitioner` here splits
        half of the rows IID, the other half by Dirichlet; `CrossPartitioner` splits the rows of each of ten natural ids
        by Dirichlet.
        """,
        partitioners,
    ),
    "large_files": (
        "Labels in large files",
        """
        The table shows a complete Dirichlet split (alpha 0.5) of labels in memory-mapped files, with one byte per
        label. Most of the memory is used by two arrays with eight bytes per row: the rows of the assignment, and an
        array to arrange them. The mapped file counts, too. Each time is from a single run. `make bench` leaves this
        measurement out, because it needs 18 GB of memory; `make figures` runs it.
        """,
        large_files,
    ),
    "aggregation": (
        "Averaging replies",
        """
        The table compares everything that flskew's `FedAvg` does with the replies of a round, including its checks and
        the norm of each update, with Flower's `aggregate_arrayrecords` alone. flskew needs the memory of one model,
        whatever the number of clients. It keeps integers as integers, which takes time; Flower returns them as float64.
        Parentheses give the range of all pairs.
        """,
        aggregation,
    ),
    "parameters": (
        "From a message to NumPy and back",
        """
        flskew reads arrays as views of the message's bytes; the peers are Flower's `to_numpy_ndarrays` and
        `ArrayRecord(list)`. A client gets copies, because it may change them. Parentheses give the interquartile range.
        """,
        parameters,
    ),
    "local_term": (
        "The local term",
        """
        The table shows the additional time of a PyTorch training step, for a 784-128-10 perceptron with batches of 64
        on one thread. The local term that each strategy asks for is attached to the optimizer, or, for FedProx, also
        added to the loss.
        """,
        local_term,
    ),
    "rounds": (
        "A round of each strategy",
        """
        The table shows ratios to FedAvg in the same run. A round has ten clients in one process, each with ten batches
        of a 784-128-10 perceptron in NumPy. The time on the server is for everything that the server does with ten
        replies of 10 million float32. Memory is the peak on the server in addition to the replies. Parentheses give the
        range of all pairs.
        """,
        rounds,
    ),
    "simulation": (
        "Simulation",
        """
        The table compares complete runs in one process with Flower's `run_simulation`, whose time includes starting
        Ray.
        """,
        simulation,
    ),
    "overhead": (
        "Overhead of a run",
        """
        The first two rows are for a 784-128-10 perceptron. They compare a complete run, `FedAvg` on a `LocalGrid` with
        an evaluation of 1,000 rows after every round, with a plain NumPy loop that does the same. The third row
        compares a client without work with a `ClientApp` under Flower's `FedAvg` on the same grid, which checks
        nothing. Such a client costs less than the overhead of one that trains, because training evicts all other code
        and data from the processor's caches. The last rows show that time and memory grow with the number of clients
        that are asked, and hardly with the number of the others. Everything runs on one thread, and times are processor
        time. Memory is the peak in addition to that of the imports. Parentheses give the range of all pairs.
        """,
        overhead,
    ),
    "deployment": (
        "Flower's engines",
        """
        One round of the three hospitals, with training and evaluation, on scikit-learn's digits: in one process, in
        Flower's Ray simulation, and on a SuperLink with three SuperNodes on one machine.
        """,
        deployment,
    ),
    "skew": (
        "Measures of skew",
        """
        The first rows compare all measures of one split with a single pass over its counts. The others compare a
        feature report on normal numbers with SciPy's `wasserstein_distance`, called for ten partitions and scaled to
        all. SciPy computes the distances, but not the distances expected by chance.
        """,
        skew,
    ),
    "shifts": (
        "Shifts",
        """
        The table compares the time to compute what clients see of 60,000 images of 28 x 28 pixels with the same
        arithmetic in NumPy for the same batches, and noise with `Generator.standard_normal`. The time of shuffled
        batches includes taking their images. A table held by ten clients takes longer, because random numbers are drawn
        for blocks of neighbouring rows, of which each client holds only some. Parentheses give the range of all pairs.
        """,
        shifts,
    ),
    "import_time": (
        "Import time",
        """
        `import flskew` does not load Flower, NumPy or any framework until you use a name that needs it. Parentheses
        give the interquartile range.
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
