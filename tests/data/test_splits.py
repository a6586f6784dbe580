"""Training images set aside: seeded, and of every class."""

from collections import Counter

import pytest
import torch
from images import image_folder
from torch.utils.data import Dataset, Subset, TensorDataset

from reram_torch.data import sets, splits


def labelled(counts):
    labels = torch.cat([torch.full((n,), y) for y, n in enumerate(counts)])
    return TensorDataset(torch.rand(len(labels), 2), labels)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_each_class_has_its_share(share):
    data = labelled((40, 7, 100, 13))
    train, held = splits.set_aside(data, share, seed=5)
    assert sorted(train + held) == list(range(160))
    assert len(held) == round(share * 160)
    found = Counter(int(data.tensors[1][k]) for k in held)
    for y, n in enumerate((40, 7, 100, 13)):
        assert abs(found[y] - share * n) <= 1
    assert (train, held) == splits.set_aside(data, share, seed=5)
    assert held != splits.set_aside(data, share, seed=6)[1]


def test_none_are_set_aside_and_one_at_least():
    data = labelled((3, 4))
    assert splits.set_aside(data, 0) == (list(range(7)), [])
    assert len(splits.set_aside(data, 0.01)[1]) == 1
    for share in (0.99, 1):
        with pytest.raises(ValueError, match="cannot set aside 7 of 7 images"):
            splits.set_aside(data, share)
    with pytest.raises(ValueError, match="share must be a finite number from 0 to 1, not 1.5"):
        splits.set_aside(data, 1.5)


def test_labels_are_known_without_reading(tmp_path):
    pytest.importorskip("torchvision")
    folder = image_folder(tmp_path / "images", 2)
    data = sets.load_dataset(str(folder))
    assert splits.labels(data) == [0, 0, 1, 1]
    assert splits.labels(Subset(Subset(data, [3, 1, 0]), [2, 0])) == [0, 1]
    names = tmp_path / "names"
    names.write_text("dog\ncat\n")
    # In the data set's own order of classes: enough to tell them apart.
    assert splits.labels(sets.load_dataset(str(folder), class_list=names)) == [0, 0, 1, 1]
    assert splits.labels(TensorDataset(torch.rand(3))) is None


def test_a_data_set_that_keeps_no_labels_is_split_too():
    class Plain(Dataset):
        def __len__(self):
            return 20

    train, held = splits.set_aside(Plain(), 0.2, seed=1)
    assert sorted(train + held) == list(range(20))
    assert len(held) == 4
    assert held != splits.set_aside(Plain(), 0.2, seed=2)[1]
