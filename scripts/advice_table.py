"""Write src/flskew/skew/_record.json, from which `skew.advise` advises, from benchmarks/record.

python scripts/advice_table.py [TABLE]   TABLE defaults to src/flskew/skew/_record.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benchmarks" / "record"
TABLE = ROOT / "src" / "flskew" / "skew" / "_record.json"

Scores: TypeAlias = dict[str, dict[int, float]]
"""By method and seed, the score in percent."""

# The kinds whose splits have more of a distance than chance; in the others, it is chance, or follows from the labels.
HAVE_COVARIATE_SHIFT = ("covariate shift", "real sites")
HAVE_CONCEPT_SHIFT = ("concept shift",)


def content(folder: Path = RECORD) -> dict[str, Any]:
    """Return the content of the table."""
    frozen = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    settings: dict[str, Any] = {}
    splits: list[dict[str, Any]] = []
    for path in sorted((folder / "results").glob("*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        name, setting = results["name"], results["setting"]
        if results["version"] != frozen["version"]:
            sys.exit(f"{path.name} has version {results['version']} of the record, splits.json has {frozen['version']}")
        if not results["cells"]:
            continue
        num_classes = _num_classes(results["cells"])
        settings[name] = {
            "data": setting["task"],
            "num_classes": num_classes,
            "num_rounds": setting["num_rounds"],
            "fraction_train": setting["fraction_train"],
            "metric": setting["metric"],
            "calls": {method: call(entry) for method, entry in results["methods"].items()},
        }
        for title, measured in frozen["tasks"][setting["task"]]["splits"].items():
            is_own = measured["score"] == "own"
            scores = _scores(results["cells"].get(title, {}), is_own)
            if gains := _gains(scores, frozen["seeds"], is_own):
                splits.append(
                    {
                        "setting": name,
                        "name": title,
                        # As on the page: there is nothing to learn in label noise.
                        "kind": "label noise" if "label noise" in title else measured["kind"],
                        "is_own": is_own,
                        "position": position(measured, num_classes),
                        "gains": gains,
                    }
                )
    # Their order decides between equals.
    methods = [*dict.fromkeys(name for setting in settings.values() for name in ("alone", *setting["calls"]))]
    methods.remove("FedAvg")
    for split in splits:
        split["gains"] = [split["gains"].get(name) for name in methods]
    return {"version": frozen["version"], "methods": methods, "settings": settings, "splits": splits}


def position(measured: Mapping[str, Any], num_classes: int) -> list[float]:
    """Return where a split is on the scales of `flskew.skew._record.Position`."""
    severity, kind = measured["severity"], measured["kind"]
    largest = 1 - 1 / num_classes  # of a total variation, with classes of equal size
    return [
        round(mean(severity["prior shift"]) / largest, 3),
        round(mean(measured["effective_clients"]), 3),
        round(mean(severity["covariate shift"]), 3) if kind in HAVE_COVARIATE_SHIFT else 0.0,
        round(mean(severity.get("concept shift", [0.0])), 3) if kind in HAVE_CONCEPT_SHIFT else 0.0,
        measured["clients"],
    ]


def call(entry: Mapping[str, Any]) -> str:
    """Return the call that makes a method, without the arguments that belong to the study.

    Examples:
        >>> made = "Method(strategy=FedDyn(fraction_train=0.1, alpha=0.03, seed=42), config={})"
        >>> call({"call": made, "parameter": "alpha", "chosen": 0.03})
        'FedDyn(alpha=0.03)'
        >>> made = "Method(strategy=FedDyn(seed=42, averaging=ClassAware()), config={})"  # a default is left out
        >>> call({"call": made, "parameter": "alpha", "chosen": 0.1})
        'FedDyn(alpha=0.1, averaging=ClassAware())'
        >>> made = "Method(strategy=FedAvg(seed=42), config={'loss': 'fedrs', 'strength': 0.5})"
        >>> call({"call": made, "parameter": "alpha", "chosen": 0.5})
        'FedAvg() with LabelPrior.fedrs(0.5)'
    """
    match = re.fullmatch(r"Method\(strategy=(.*), config=(\{.*\})\)", entry["call"])
    assert match, entry["call"]
    strategy = re.sub(r"(fraction_train|seed)=[\d.]+(, )?", "", match[1]).replace(", )", ")")
    loss, strength = (re.search(rf"'{key}': '?([\w.]+)", match[2]) for key in ("loss", "strength"))
    if loss:
        return f"{strategy} with LabelPrior.{loss[1]}({strength[1] if strength else ''})"
    name, value = entry["parameter"], entry["chosen"]
    if not name or f"{name}=" in strategy:
        return strategy
    start, _, rest = strategy.rpartition("(") if "averaging" not in strategy else strategy.partition("(")
    return f"{start}({name}={value}{'' if rest.startswith(')') else ', '}{rest}"


def _num_classes(cells: Mapping[str, Any]) -> int:
    return max(
        len(cell["recall"]) for methods in cells.values() for seeds in methods.values() for cell in seeds.values()
    )


def _scores(cells: Mapping[str, Mapping[str, Mapping[str, Any]]], is_own: bool) -> Scores:
    """Return what methods are compared by; a model that is not finite scores 0."""
    return {
        method: {int(seed): _score(cell, is_own) for seed, cell in seeds.items()} for method, seeds in cells.items()
    }


def _score(cell: Mapping[str, Any], is_own: bool) -> float:
    values = [value for value in (cell["own"] if is_own else cell["curve"][-1:]) if value is not None]
    return 100 * mean(values) if values else 0.0


def _gains(scores: Scores, seeds: Sequence[int], is_own: bool) -> dict[str, list[float]]:
    """Return the gain of each method that has all seeds; "alone" only where clients have their own test rows."""
    complete = {method: by_seed for method, by_seed in scores.items() if set(seeds) <= by_seed.keys()}
    left_out = {"FedAvg", "pooled"} if is_own else {"FedAvg", "pooled", "alone"}
    return {
        method: [round(by_seed[seed] - complete["FedAvg"][seed], 2) for seed in seeds]
        for method, by_seed in complete.items()
        if "FedAvg" in complete and method not in left_out
    }


def text(found: Mapping[str, Any]) -> str:
    """Return JSON with one line for each setting and split."""
    parts = {
        "version": _compact(found["version"]),
        "methods": _compact(found["methods"]),
        "settings": _lines("{}", (f"{_compact(name)}:{_compact(entry)}" for name, entry in found["settings"].items())),
        "splits": _lines("[]", map(_compact, found["splits"])),
    }
    return _lines("{}", (f"{_compact(name)}:{part}" for name, part in parts.items())) + "\n"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _lines(brackets: str, entries: Iterable[str]) -> str:
    return brackets[0] + "\n" + ",\n".join(entries) + "\n" + brackets[1]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE
    target.write_text(text(content()), encoding="utf-8")
    print(f"wrote {target.name}")
