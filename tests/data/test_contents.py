"""Images that two data sets share, whatever files hold them."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from images import image_folder
from torch.utils.data import Dataset, Subset, TensorDataset
from torchvision_sets import cifar10

from reram_torch._support import processes
from reram_torch.data import contents, sets


def shared(one, other, **more):
    return contents.shared(one, other, show_progress=False, **more)


@pytest.fixture
def folders(tmp_path):
    """Two folders with twelve images each, of which `test/dog/new.png` is `train/cat/3.png`."""
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("torchvision")
    train = image_folder(tmp_path / "train")
    test = image_folder(tmp_path / "test", seed=1)
    with image.open(train / "cat" / "3.png") as found:
        found.save(test / "dog" / "new.png", compress_level=0)
    assert (test / "dog" / "new.png").read_bytes() != (train / "cat" / "3.png").read_bytes()
    return train, test


def test_an_image_saved_anew_is_found(folders):
    train, test = (sets.load_dataset(str(folder)) for folder in folders)
    [(here, there)] = shared(test, train)
    assert contents.name_of(test, here) == str(folders[1] / "dog" / "new.png")
    assert contents.name_of(train, there) == str(folders[0] / "cat" / "3.png")
    assert shared(train, test) == [(there, here)]
    assert shared(test, train, workers=1) == [(here, there)]
    assert len(shared(train, train)) == len(train)


def test_transforms_and_subsets_do_not_hide_an_image(folders):
    augmented = sets.load_dataset(str(folders[0]), size=24, augment="resized")
    test = sets.load_dataset(str(folders[1]), size=16)
    part = Subset(Subset(test, range(4, len(test))), [8, 0])
    [(here, there)] = shared(part, augmented)
    assert here == 0
    assert contents.name_of(part, here).endswith("new.png")
    assert contents.name_of(augmented, there).endswith("3.png")
    assert shared(Subset(part, [1]), augmented) == []


def test_other_sizes_are_not_decoded(folders, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (9, 7)).save(folders[0] / "cat" / "odd.png")
    read, decoded = [], sets.Readable.decoded

    def noting(self, item):
        read.append(self.path(item))
        return decoded(self, item)

    monkeypatch.setattr(sets.Readable, "decoded", noting)
    train, test = (sets.load_dataset(str(folder)) for folder in folders)
    assert len(shared(test, train)) == 1
    assert len(read) == len(train) + len(test) - 1
    assert str(folders[0] / "cat" / "odd.png") not in read


def test_a_file_that_cannot_be_read_is_no_other(folders):
    for folder in folders:
        (folder / "cat" / "bad.png").write_bytes(b"no image")
    train, test = (sets.load_dataset(str(folder)) for folder in folders)
    assert len(shared(test, train)) == 1


def test_files_and_the_arrays_of_torchvision_are_compared(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(2).integers(0, 256, (4, 3072), dtype=np.uint8)
    cifar10(tmp_path / "packed", pixels, monkeypatch)
    (tmp_path / "files" / "cat").mkdir(parents=True)
    inside = pixels[2].reshape(3, 32, 32).transpose(1, 2, 0)
    image.fromarray(inside).save(tmp_path / "files" / "cat" / "0.png")
    packed = sets.load_dataset("cifar10", root=str(tmp_path / "packed"))
    files = sets.load_dataset(str(tmp_path / "files"))
    assert shared(files, packed) == [(0, 2)]
    assert contents.name_of(packed, 2) == "image 2"


def test_grey_images_are_equal_with_and_without_channels(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("torchvision")
    (tmp_path / "0").mkdir()
    grey = np.random.default_rng(3).integers(0, 256, (28, 28), dtype=np.uint8)
    image.fromarray(grey).save(tmp_path / "0" / "0.png")  # the loader makes it RGB

    class Stored(Dataset):
        data = torch.from_numpy(np.stack([grey + 1, grey]))

        def __len__(self):
            return 2

    assert shared(sets.load_dataset(str(tmp_path)), Stored()) == [(0, 1)]


def test_tensors_are_compared():
    whole = TensorDataset(torch.rand(20, 1, 4, 4), torch.arange(20))
    one, other = Subset(whole, range(12)), Subset(whole, range(10, 20))
    assert shared(one, other) == [(10, 0), (11, 1)]
    twice = Subset(whole, [3, 3])
    assert shared(one, twice) == [(3, 0), (3, 1)]
    assert shared(twice, one) == [(0, 3), (1, 3)]
    close = TensorDataset(whole.tensors[0] + 1e-3)
    assert shared(close, whole) == []  # near-duplicates are others


def test_the_digits_have_no_test_image_among_training_images():
    pytest.importorskip("sklearn")
    assert shared(sets.digits(False), sets.digits(True)) == []


def test_each_process_hashes_its_share(monkeypatch):
    """Two threads stand for two processes."""
    whole = TensorDataset(torch.rand(9, 2))
    one, other = Subset(whole, range(6)), Subset(whole, range(3, 9))
    hashed, digest = [], contents.digest
    own, barrier, box = threading.local(), threading.Barrier(2, timeout=60), [None, None]

    def noting(data, item):
        hashed.append(contents.origin(data, item)[1])
        return digest(data, item)

    def gather(value):
        box[own.rank] = value
        barrier.wait()
        found = list(box)
        barrier.wait()
        return found

    def run(rank):
        own.rank = rank
        return shared(one, other)

    monkeypatch.setattr(contents, "digest", noting)
    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(processes, "rank", lambda: own.rank)
    monkeypatch.setattr(processes, "gather", gather)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(run, (0, 1)))
    assert found == [[(3, 0), (4, 1), (5, 2)]] * 2
    assert sorted(hashed) == sorted([*range(6), *range(3, 9)])  # each once


def test_what_is_shared_is_named(folders):
    train, test = (sets.load_dataset(str(folder)) for folder in folders)
    contents.check_apart(Subset(test, range(6)), train, ("a", "b"), show_progress=False)
    here, there = (
        re.escape(str(path)) for path in (folders[1] / "dog/new.png", folders[0] / "cat/3.png")
    )
    text = (
        rf"^1 of the 13 test images \(a\) are training images \(b\) too: {here} is {there}: take "
        "them out of one of the two, or not$"
    )
    with pytest.raises(ValueError, match=text):
        contents.check_apart(test, train, ("a", "b"), remedy=", or not", show_progress=False)
    with pytest.raises(ValueError, match=r"12 of the 12 .* calibration .*; .*; .*; \.\.\.: take"):
        contents.check_apart(train, train, ("a", "b"), "calibration", show_progress=False)
