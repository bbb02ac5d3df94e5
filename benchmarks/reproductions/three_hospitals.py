"""Reproduce the three hospitals on MNIST at the published settings: alone, with FedAvg, and with FedProx.

    python benchmarks/reproductions/three_hospitals.py --data-dir FOLDER    # a quarter of an hour

DeepLearning.AI and Flower: "Intro to Federated Learning", 2024. Runs the example `three-hospitals` with several seeds,
and FedProx with several mu. FedProx runs in two forms: in scikit-learn, the proximal term is a separate step after each
update, scaled as momentum scales a gradient; in PyTorch, with the example `quickstart-pytorch`, it is part of the
gradient. Needs the extras sklearn, plot and torch.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# First on the path, because this script has the same name as the example's package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "three-hospitals"))

import records
import run as example
from three_hospitals import client_app, server_app
from three_hospitals.comparison import study
from three_hospitals.settings import Settings
from three_hospitals.task import EXCLUDED

from flskew import simulate
from flskew.simulation import read_app_config

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3)
STRENGTHS = (0.01, 0.1)


def averaged(data_dir: str, seed: int) -> dict[str, object]:
    """Train each hospital alone, and all with FedAvg."""
    made = study(Settings.from_run_config(example.run_config(data_dir, {"seed": seed})))
    alone, together = (made.cell("hospitals", method, seed) for method in ("alone", "together"))
    return {
        "seed": seed,
        "images": alone.label_counts.sum(axis=1).tolist(),
        "alone": alone.last["accuracy"].tolist(),
        "alone_on_missing": alone.unseen().tolist(),
        "federated": together.curves["accuracy"].tolist(),
    }


def proximal_steps(data_dir: str, seed: int, mu: float) -> list[float]:
    """Train all with FedProx; return the accuracy before the first round and after each round."""
    config = example.run_config(data_dir, {"seed": seed, "strategy": "fedprox", "proximal-mu": mu})
    state = simulate(server_app.app, client_app.app, num_supernodes=len(EXCLUDED), run_config=config).state
    rounds = range(int(config["num-server-rounds"]) + 1)
    return [float(state.metric_records[f"round-{server_round}"]["accuracy"]) for server_round in rounds]


def proximal_gradients(data_dir: str, seed: int, mu: float) -> list[float]:
    """Do the same in PyTorch, with the term in the gradient."""
    folder = HERE.parents[1] / "examples" / "quickstart-pytorch"
    sys.path.append(str(folder))
    from pytorchexample import client_app, server_app

    changes = tomllib.loads((folder / "mnist.toml").read_text(encoding="utf-8"))
    changes |= {"data-dir": str(Path(data_dir).resolve()), "seed": seed, "fraction-evaluate": 0.0}
    changes |= {"strategy": "fedprox", "proximal-mu": mu}
    config = read_app_config(folder, changes)
    context = simulate(server_app.app, client_app.app, num_supernodes=len(EXCLUDED), run_config=config)
    accuracy = context.state.metric_records["accuracy"]
    return [float(accuracy[f"round-{number}"]) for number in range(len(accuracy))]


def main() -> None:
    """Train and print; write the results after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("FLSKEW_MNIST", ""), help="the four MNIST files")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--strengths", type=float, nargs="*", default=STRENGTHS, help="mu of FedProx; %(default)s")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "three_hospitals.json")
    arguments = parser.parse_args()
    if not arguments.data_dir:
        sys.exit("MNIST is missing: pass --data-dir FOLDER or set FLSKEW_MNIST")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    settings = example.run_config(arguments.data_dir)
    for name in ("data-dir", "results-file", "model-file", "seed", "strategy", "proximal-mu", "feddyn-alpha"):
        del settings[name]
    content: dict[str, object] = {
        "about": records.about("flwr", "numpy", "scikit-learn", "torch"),
        "settings": settings,
    }
    content["fedavg"] = averages = []
    content["fedprox"] = proximal = []
    for seed in arguments.seeds:
        averages.append(averaged(arguments.data_dir, seed))
        print(averages[-1], flush=True)
        records.write(arguments.output, content)
    for mu in arguments.strengths:
        for form, train in (("step", proximal_steps), ("gradient", proximal_gradients)):
            for seed in arguments.seeds:
                federated = train(arguments.data_dir, seed, mu)
                proximal.append({"form": form, "mu": mu, "seed": seed, "federated": federated})
                print(proximal[-1], flush=True)
                records.write(arguments.output, content)


if __name__ == "__main__":
    main()
