"""PyTorch tensors and data sets give the same bytes as NumPy arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from flskew import Assignment
from flskew.shifts import Affine, LabelShift, Noise, Quantize, Rotate, ShiftedDataset

pytestmark = pytest.mark.torch

IMAGES = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 4
SHIFT = Rotate([30, 90]) | Noise(0.3)
SPLIT = Assignment.from_partitions([[0, 2, 4, 6], [11, 9, 7, 5, 3]], num_rows=12).with_shift(SHIFT)


class PlusTen(LabelShift):
    """A shift of the tests' own: other labels."""

    def relabel(self, labels, rows, viewer):
        return labels + 10

    def at(self, severity):
        return PlusTen(partitions=self.partitions if severity else ())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64], ids=str)
def test_a_tensor_is_seen_like_an_array(dtype: torch.dtype):
    images = (IMAGES * 100).to(dtype)
    before = images.clone()
    view = SPLIT.view(1)
    seen = view.features(images[view.rows.tolist()])
    assert isinstance(seen, torch.Tensor)
    assert seen.dtype == dtype
    assert seen.is_contiguous()
    assert_array_equal(seen.numpy(), view.features(images.numpy()[view.rows]))
    whole = SPLIT.shift_features(images)
    assert_array_equal(whole.numpy(), SPLIT.shift_features(images.numpy()))
    assert torch.equal(images, before)
    seen += 1  # it is writable, and its memory is not that of the original
    assert torch.equal(images, before)


def test_bfloat16_is_rounded_once():
    values = torch.arange(5, dtype=torch.bfloat16)
    seen = Affine(gain=1 / 3).view(0, 1).features(values, range(5))
    assert seen.dtype == torch.bfloat16
    # The gain is rounded to float32 first.
    assert torch.equal(seen, (torch.arange(5, dtype=torch.float32) * torch.tensor(1 / 3)).bfloat16())


def test_a_tensor_that_is_seen_as_it_is_is_the_same_object():
    images = IMAGES[:4]
    assert SPLIT.with_shift(Noise(0)).view(0).features(images) is images
    assert SPLIT.with_shift(None).shift_features(IMAGES) is IMAGES
    assert SPLIT.view(0).labels(LABELS[:4].clone()).tolist() == LABELS[:4].tolist()
    assert SPLIT.shift_labels(LABELS) is LABELS


def test_labels_may_be_tensors():
    split = SPLIT.with_shift(PlusTen(partitions=[1]))
    seen = split.view(1).labels(LABELS[split[1].tolist()])
    assert isinstance(seen, torch.Tensor)
    assert (seen.dtype, seen.tolist()) == (torch.int64, [13, 11, 13, 11, 13])
    assert split.shift_labels(LABELS).tolist() == [0, 1, 2, 13, 0, 11, 2, 13, 0, 11, 2, 13]


def test_a_mapping_may_contain_tensors():
    table = {"age": torch.arange(12.0), "visits": torch.arange(12), "site": np.arange(12)}
    seen = SPLIT.with_shift(Affine(offset=1)).view(0).features({name: table[name][:4] for name in table}, range(4))
    assert [type(column) for column in seen.values()] == [torch.Tensor, torch.Tensor, np.ndarray]
    assert seen["age"].tolist() == [1, 2, 3, 4]
    whole = SPLIT.with_shift(Affine(offset=1)).shift_features(table)
    assert whole["age"].tolist() == [1, 1, 3, 4, 5, 6, 7, 8, 8, 10, 10, 12]
    assert isinstance(whole["age"], torch.Tensor)
    assert SPLIT.with_shift(Noise(0)).view(0).features(table, range(12)) is table


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(4, 1, 6, 6, device="meta"), "need tensors on the CPU, got one on meta"),
        (torch.zeros(4, 1, 6, 6, requires_grad=True), r"requires them; pass tensor.detach\(\)"),
        (torch.tensor(1.0), "features must have one entry per row, got a single"),
        (torch.zeros(4, 1, 6, 6) > 0, "Rotate changes numbers, but features contain bool"),
    ],
    ids=["device", "gradients", "scalar", "bool"],
)
def test_a_tensor_that_cannot_be_shifted_is_refused(tensor: torch.Tensor, message: str):
    with pytest.raises(TypeError, match=message):
        SPLIT.view(0).features(tensor)


def test_a_data_set_shows_what_the_client_sees():
    split = SPLIT.with_shift(SHIFT | PlusTen())
    dataset = ShiftedDataset(TensorDataset(IMAGES, LABELS, torch.arange(12)), split.view(1))
    x, y, row = dataset[2]
    expected = split.view(1).features(IMAGES.numpy()[split[1]])
    assert (x.dtype, y.dtype, y.shape, row.item()) == (torch.float32, torch.int64, (), split[1][2])
    assert_array_equal(x.numpy(), expected[2])
    assert y.item() == LABELS[7] + 10


def test_a_loader_gives_the_same_images_in_every_epoch():
    dataset = ShiftedDataset(TensorDataset(IMAGES, torch.arange(12)), SPLIT.view(1))
    expected = SPLIT.shift_features(IMAGES.numpy())
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(dataset, batch_size=2, shuffle=True, generator=generator)
    orders = []
    for _ in range(2):
        order: list[int] = []
        for x, rows in loader:
            assert_array_equal(x.numpy(), expected[rows.numpy()])
            order += rows.tolist()
        assert sorted(order) == [3, 5, 7, 9, 11]
        orders.append(order)
    assert orders[0] != orders[1]


@pytest.mark.long
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_see_the_same(tmp_path: Path, start: str):
    # In a process of its own, because forking one with the threads of other tests' frameworks may block.
    (tmp_path / "load.py").write_text("""
import sys

import torch
from torch.utils.data import DataLoader, TensorDataset
from flskew import Assignment
from flskew.shifts import Noise, ShiftedDataset

if __name__ == "__main__":
    view = Assignment.from_partitions([[0, 2], [1]]).with_shift(Noise(1.0)).view(0)
    dataset = ShiftedDataset(TensorDataset(torch.zeros(3, 5)), view)
    ((x,),) = DataLoader(dataset, batch_size=2, num_workers=1, multiprocessing_context=sys.argv[1])
    print(torch.equal(x, view.features(torch.zeros(2, 5))))
""")
    done = subprocess.run([sys.executable, tmp_path / "load.py", start], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_a_data_set_can_be_subset_joined_and_seen_through_another():
    data = TensorDataset(IMAGES, LABELS)
    first, second = (ShiftedDataset(data, SPLIT.view(i)) for i in range(2))
    (x, _), (last, _) = Subset(first, [3, 1]).__getitems__([1, 0])
    expected = SPLIT.shift_features(IMAGES)
    assert torch.equal(x, expected[2])
    assert torch.equal(last, expected[6])
    assert torch.equal(ConcatDataset([first, second])[4][0], expected[11])
    twice = ShiftedDataset(first, Quantize(0.5).view(0, 1), [1])
    assert torch.equal(twice[0][0], (expected[2] / 0.5).round() * 0.5)


def test_images_of_pil_become_arrays():
    image = Image.fromarray(np.arange(25, dtype=np.uint8).reshape(5, 5))
    (x, y), *_ = ShiftedDataset([(image, 3)], Rotate(90).view(0, 1), [0])
    assert_array_equal(x, np.rot90(np.asarray(image)))
    assert y == 3


def test_shifts_do_not_import_torch():
    code = "import sys, numpy as np; from flskew.shifts import Noise; Noise(1).view(0, 1).features(np.zeros(2), [0, 1])"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
