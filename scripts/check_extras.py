"""Install the wheel with each extra in a new environment, and run the code that needs the extra.

    python scripts/check_extras.py              # every extra; takes gigabytes and minutes
    python scripts/check_extras.py sklearn jax  # only these

Run by `make wheel-extras`. For the extra of a framework, it runs the quickstart on scikit-learn's digits, with only the
example of this repository on the path. Exits with code 1 and a one-line message if a check fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from check_wheel import ROOT, build, pip_of, require, run

QUICKSTART = """
import logging, sys
sys.path.insert(0, {folder!r})
from flskew import read_app_config, simulate
from {package} import client_app, server_app
logging.getLogger("flwr").setLevel(logging.ERROR)
context = simulate(server_app.app, client_app.app, {clients}, run_config=read_app_config({folder!r}))
accuracy = context.state.metric_records["accuracy"]
last = accuracy[max(accuracy, key=lambda key: int(key.removeprefix("round-")))]
print("{package}: accuracy", last)
assert last > 0.7, last
"""

PLOT = """
from flskew import DirichletPartitioner, plots
figure = plots.dots(DirichletPartitioner(5, "label", 0.5).assign([row % 10 for row in range(1000)]))
figure.savefig("dots.png")
"""

NOTEBOOK = """
from flskew import plots
widget = plots.explore([row % 10 for row in range(1000)])
assert "DirichletPartitioner" in widget.children[-1].value
"""

SIMULATION = """
import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from flskew import FedAvg, client_app

class Adds:
    def fit(self, parameters, config):
        return [parameters[0] + 1], 10, {}

server = ServerApp()

@server.main()
def main(grid, context):
    result = FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2)
    assert result.arrays.to_numpy_ndarrays()[0].tolist() == [2, 2]
    print("two rounds on Ray")

if __name__ == "__main__":
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run_simulation(server, client_app(lambda context: Adds()), 2, backend_config=resources)
"""


@dataclass(frozen=True)
class Extra:
    """Code that must run, and what to install in addition to the wheel."""

    code: str
    others: tuple[str, ...] = ()
    packages: list[str] = field(default_factory=list)


def quickstart(name: str, package: str, clients: int) -> str:
    """Return the code that runs an example in one process."""
    return QUICKSTART.format(folder=str(ROOT / "examples" / name), package=package, clients=clients)


STUDY = """
import tempfile
import numpy as np
from flskew import FedAvg, IidPartitioner
from flskew.study import Study

class Site:
    def __init__(self, labels):
        self.labels = labels

    def fit(self, parameters, config):
        return [parameters[0] + np.bincount(self.labels, minlength=2)], len(self.labels), {}

class Majority:
    labels, test_labels = np.repeat([0, 1], [40, 60]), np.repeat([0, 1], [4, 6])

    def initial(self, seed):
        return [np.zeros(2)]

    def client(self, rows):
        return Site(self.labels[rows])

    def evaluate(self, parameters, rows):
        return {"accuracy": (self.test_labels[rows] == parameters[0].argmax()).mean()}

study = Study(Majority(), {"iid": IidPartitioner(3)}, {"FedAvg": FedAvg()}, seeds=range(2), num_rounds=2)
with tempfile.TemporaryDirectory() as folder:
    assert len(study.run(folder, jobs=2).cells) == 6
"""

# The quickstarts use the digits of scikit-learn.
EXTRAS = {
    "plot": Extra(PLOT),
    "notebook": Extra(NOTEBOOK),
    "simulation": Extra(SIMULATION),
    "study": Extra(STUDY),
    "sklearn": Extra(quickstart("quickstart-sklearn", "sklearnexample", 10)),
    "torch": Extra(quickstart("quickstart-pytorch", "pytorchexample", 3), ("sklearn",)),
    "jax": Extra(quickstart("quickstart-jax", "jaxexample", 5), ("sklearn",), ["flax", "optax"]),
    "keras": Extra(
        quickstart("quickstart-tensorflow", "tfexample", 5),
        ("sklearn",),
        ["tensorflow" if sys.platform == "darwin" else "tensorflow-cpu"],
    ),
}


def check(name: str, wheel: Path, folder: Path) -> None:
    """Install one extra and run its code."""
    extra = EXTRAS[name]
    python, pip = pip_of(folder / "venv")
    wanted = f"{wheel}[{','.join((name, *extra.others))}]"
    run([*pip, "install", "-c", str(ROOT / "requirements" / "constraints.txt"), wanted, *extra.packages], cwd=folder)
    run([*pip, "check"], cwd=folder)
    script = folder / "use.py"
    script.write_text(extra.code, "utf-8")
    run([str(python), "-I", str(script)], cwd=folder)
    print(f"extra {name}: installs and works", flush=True)


def main() -> None:
    """Build the wheel and check the requested extras."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", nargs="*", help="; ".join(EXTRAS))
    names = parser.parse_args().extras or list(EXTRAS)
    unknown = [name for name in names if name not in EXTRAS]
    require(not unknown, f"no such extra: {unknown}; there are {', '.join(EXTRAS)}")
    wheel, _ = build()
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"flskew-{name}-") as folder:
            check(name, wheel, Path(folder))


if __name__ == "__main__":
    main()
