"""The conformance kit accepts shifts that obey the laws, and names the law that others break."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from flskew.shifts import Affine, FeatureShift, LabelShift, Noise
from flskew.testing import LawError, check_shift

IMAGES = np.arange(6 * 4, dtype=np.float64).reshape(6, 2, 2)
TABLE = pd.DataFrame({"age": np.arange(6.0), "visits": np.arange(6), "sex": list("mfmfmf")})
LABELS = [0, 1, 2, 0, 1, 2]


class Adds(FeatureShift):
    """Adds a number; obeys the laws. Each class below breaks one."""

    def __init__(self, number=1.0, *, columns=None, partitions=None):
        super().__init__(columns=columns, partitions=partitions)
        self.number = number

    def change(self, values, rows, viewer, column):
        return values + self.number if self.number else values

    def at(self, severity):
        if not 0 <= severity <= 1:
            raise ValueError("severity must be a number from 0 to 1")
        return type(self)(self.number * severity, columns=self.columns, partitions=self.partitions)


class Increments(LabelShift):
    """Adds 1 to labels; obeys the laws."""

    def __init__(self, number=1, *, partitions=None):
        super().__init__(partitions=partitions)
        self.number = number

    def relabel(self, labels, rows, viewer):
        return labels + self.number

    def at(self, severity):
        if not 0 <= severity <= 1:
            raise ValueError("severity must be a number from 0 to 1")
        return type(self)(round(self.number * severity), partitions=self.partitions)


@pytest.mark.parametrize("features", [IMAGES, IMAGES[:, 0], IMAGES.astype("uint8"), TABLE, dict(TABLE)])
def test_shifts_of_ones_own_pass(features):
    check_shift(Adds() | Increments() | Noise(0.1), features, LABELS)


def test_strengths_in_a_list_need_their_number_of_partitions():
    check_shift(Noise([0.1, 0.2]), IMAGES, num_partitions=2)
    with pytest.raises(ValueError, match="sigma must have one number for each of 3 partitions, got 2"):
        check_shift(Noise([0.1, 0.2]), IMAGES)


class ChangesInput(Adds):
    def change(self, values, rows, viewer, column):
        values += self.number
        return values


class Undoes(Adds):
    """Changes the input, and then changes it back."""

    def change(self, values, rows, viewer, column):
        values += self.number
        seen = values.copy()
        values -= self.number
        return seen


class Counts(Adds):
    calls = 0

    def change(self, values, rows, viewer, column):
        Counts.calls += 1
        return values + Counts.calls * self.number


class Reuses(Adds):
    buffers = {}  # noqa: RUF012

    def change(self, values, rows, viewer, column):
        buffer = self.buffers.setdefault(values.shape, np.empty(values.shape))
        buffer -= 1e9
        return np.add(values, self.number, out=buffer)


class ReadsNumPys(Adds):
    def change(self, values, rows, viewer, column):
        np.random.random()  # noqa: NPY002
        return super().change(values, rows, viewer, column)


class SeedsPythons(Adds):
    def change(self, values, rows, viewer, column):
        random.seed(7)
        return super().change(values, rows, viewer, column)


class Centres(Adds):
    def change(self, values, rows, viewer, column):
        return values - values.mean(axis=0) * self.number if len(values) else values


class ByPlace(Adds):
    def change(self, values, rows, viewer, column):
        return values + self.number * np.arange(len(values))[:, None, None]


class Lies(Adds):
    def __repr__(self):
        return "Adds(number=2.0)"


class Unprintable(Adds):
    def __repr__(self):
        return "<a shift>"


class Forks(Adds):
    copied = False

    def __deepcopy__(self, memo):
        other = type(self)(self.number)
        other.copied = True
        return other

    def change(self, values, rows, viewer, column):
        return values + self.number * (2 if self.copied else 1)


class Hides(Adds):
    """Depends on an attribute that is no argument."""

    def __init__(self, number=1.0, *, columns=None, partitions=None):
        super().__init__(number, columns=columns, partitions=partitions)
        self.secret = 0.0

    def change(self, values, rows, viewer, column):
        return values + self.number + self.secret


HIDES = Hides()
HIDES.secret = 1.0


class NeverWeaker(Adds):
    def at(self, severity):
        return self


class NeverTheSame(Adds):
    def at(self, severity):
        return type(self)(self.number * severity / 2)


class TakesAnySeverity(Adds):
    def at(self, severity):
        return type(self)(self.number * severity, columns=self.columns, partitions=self.partitions)


class StaysBehind(Adds):
    def change(self, values, rows, viewer, column):
        return values + 1


class Widens(Increments):
    def relabel(self, labels, rows, viewer):
        return labels + 0.5 * self.number


class SeesAll(Adds):
    def __init__(self, number=1.0, *, columns=None, partitions=None):
        super().__init__(number, columns=columns)
        self.__dict__["partitions"] = partitions and tuple(partitions)

    def _is_seen_by(self, viewer):
        return True


class Lonely(Adds):
    def change(self, values, rows, viewer, column):
        return values + self.number * (1 if self.partitions is None else 2)


class LacksPartitions(FeatureShift):
    def __init__(self, number=1.0):
        super().__init__()
        self.number = number

    change = Adds.change

    def at(self, severity):
        if not 0 <= severity <= 1:
            raise ValueError
        return LacksPartitions(self.number * severity)


class ByMemory(Adds):
    def change(self, values, rows, viewer, column):
        return values + self.number * (2 if values.flags.c_contiguous else 1)


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (ChangesInput(), "law 1: it changes the features, which are read-only; change a copy"),
        (Undoes(), "law 1: it changes the features, which are read-only; change a copy"),
        (Counts(), "law 1: partition 0 sees other features in a second call"),
        (Reuses(), "law 1: a later call changed the features that the first one returned"),
        (ReadsNumPys(), "law 1: a global random generator was read or seeded; draw numbers from viewer.streams"),
        (SeedsPythons(), "law 1: a global random generator"),
        (Centres(), "law 2: partition 0 sees other features in a batch of 3 rows than in all 6"),
        (ByPlace(), "law 2: partition 0 sees other features in another order"),
        (Lies(), r"law 3: the call that it prints as, Adds\(number=2.0\), does not make an equal shift"),
        (Unprintable(), "law 3: it does not print as a call that makes it: '<a shift>' is not a shift"),
        (Forks(), "law 3: partition 0 sees other features through a copy of the shift"),
        (HIDES, "law 3: partition 0 sees other features through the shift that the printed call makes"),
        (NeverWeaker(), r"law 4: at\(-0.1\) was accepted; raise a ValueError"),
        (NeverTheSame(), r"law 4: at\(1\) is NeverTheSame\(number=0.5\), not NeverTheSame\(\)"),
        (TakesAnySeverity(), r"law 4: at\(-0.1\) was accepted"),
        (StaysBehind(), r"law 4: partition 0 sees other features than the data through at\(0\)"),
        (Widens(), r"law 5: labels with shape \(6,\) and dtype int64 became \(6,\) and float64"),
        (SeesAll(), r"law 6: partition 0 sees other features than the data, although only \[1, 2\] are in partitions"),
        (Lonely(), r"law 6: partition 0 sees other features if partitions is \[0\] than if it is None"),
        (LacksPartitions(), "law 6: LacksPartitions lacks the argument partitions"),
        (ByMemory(), "law 7: partition 0 sees other features in every other row of an array"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_broken_law_is_named(shift, message):
    with pytest.raises(LawError, match=message):
        check_shift(shift, IMAGES, LABELS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_shift(Noise, IMAGES), TypeError, "shift must be a shift, got <class .*; pass an instance"),
        (lambda: check_shift(Noise(1), IMAGES[:1]), ValueError, "features must have at least 2 rows, got 1"),
        (lambda: check_shift(Noise(1), IMAGES, [1]), ValueError, "1 entries and 6 rows"),
        (lambda: check_shift(Noise(1, partitions=[5]), IMAGES), ValueError, "partitions of Noise must be in 0 ... 2"),
    ],
)
def test_what_cannot_be_checked_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_chain_is_checked_as_a_whole():
    with pytest.raises(LawError, match="law 2"):
        check_shift(Affine(2.0) | Centres(), IMAGES)
