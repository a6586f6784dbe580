"""Data sets in torchvision's own formats, with few images."""

import pickle

import pytest


def cifar10(root, test_pixels, monkeypatch):
    """A root of CIFAR-10 with these test images, (images, 3072), and one image to train on."""
    datasets = pytest.importorskip("torchvision.datasets")
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, _ in datasets.CIFAR10.train_list:
        one = {"data": 255 - test_pixels[:1], "labels": [0]}
        (folder / name).write_bytes(pickle.dumps(one))
    test = {"data": test_pixels, "labels": [0] * len(test_pixels)}
    (folder / "test_batch").write_bytes(pickle.dumps(test))
    names = {"label_names": [f"class{k}" for k in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names))
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
