"""Data sets by name (needs the extra `data`)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from reram_torch.validate import check_choice

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AUGMENTATIONS = ("none", "shift", "flip", "resized")
TORCHVISION = ("cifar10", "cifar100", "mnist", "imagenet")


def digits(train: bool, size: int = 32) -> TensorDataset:
    """scikit-learn's 1,797 handwritten digits, every fifth image for testing.

    Args:
        train: the 1,437 training images rather than the 360 test images.
        size: height and width that the 8 x 8 images are enlarged to.

    Returns:
        pairs of an image (1, size, size) in [0, 1] and a label.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
    images = torch.nn.functional.interpolate(images, size=size, mode="bilinear")
    labels = torch.tensor(bunch.target)
    chosen = (torch.arange(len(labels)) % 5 != 0) == train
    return TensorDataset(images[chosen], labels[chosen])


def _transform(size: int | None, resize: int | None, mean: tuple, std: tuple, augment: str):
    from torchvision import transforms as t

    if augment == "resized":
        steps = [t.RandomResizedCrop(size), t.RandomHorizontalFlip()]
    else:
        steps = [t.Resize(resize or size), t.CenterCrop(size)] if size else []
    if augment in ("shift", "flip"):  # zero-padded by an eighth (He et al., CVPR 2016, 4.2)
        steps.append(t.RandomCrop(size, padding=size // 8))
    if augment == "flip":
        steps.append(t.RandomHorizontalFlip())
    return t.Compose([*steps, t.ToTensor(), t.Normalize(mean, std)])


def load_dataset(
    name: str,
    *,
    train: bool = False,
    root: str = "data",
    size: int | None = None,
    resize: int | None = None,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    class_list: str | Path | None = None,
    augment: str = "none",
    download: bool = False,
) -> Dataset:
    """A data set for classification.

    Args:
        name: `digits`, a torchvision data set (`cifar10`, `cifar100`, `mnist`, `imagenet`), or the
            path of a folder with one folder of images for each class.
        train: the training split rather than the test split (a folder has only one).
        root: where torchvision's data sets lie.
        size: height and width that images are cropped to; None: as they are.
        resize: short side that they are resized to before, `size` if not given.
        mean: of each channel, for normalisation.
        std: of each channel, likewise.
        class_list: a text file that names the classes of the network, a line each in their order;
            for a folder that holds some of them.
        augment: `none`, `shift` (random crops of the padded image), `flip` (shifted, and mirrored
            every other time) or `resized` (random parts of the image, mirrored likewise).
        download: fetch a torchvision data set that is not there (not ImageNet).

    Raises:
        FileNotFoundError: the data set is not there; the message says how to get it.
        ValueError: a folder's name is not in `class_list`, or `class_list` is given for another
            data set; `augment` is unknown, or needs `size`.
    """
    check_choice("augment", augment, AUGMENTATIONS)
    if augment != "none" and (size is None or name == "digits"):
        raise ValueError(f"augment={augment!r} needs a size, and images that are not digits")
    if class_list is not None and (name == "digits" or name in TORCHVISION):
        raise ValueError(f"class_list is for folders of images, not for {name!r}")
    if name == "digits":
        return digits(train, size or 32)
    if name not in TORCHVISION and not Path(name).is_dir():
        raise FileNotFoundError(
            f"no data set {name!r}: known are digits, {', '.join(TORCHVISION)}, or the path of "
            "a folder with one folder of images for each class"
        )
    try:
        from torchvision import datasets
    except ImportError as error:
        raise ImportError(
            "image data sets need torchvision, which is in the extra 'data'"
        ) from error
    transform = _transform(size, resize, mean, std, augment)
    if name not in TORCHVISION:
        found = datasets.ImageFolder(name, transform)
        if class_list is not None:
            found.target_transform = _class_numbers(found.classes, Path(class_list)).__getitem__
        return found
    try:
        if name == "imagenet":
            return datasets.ImageNet(root, "train" if train else "val", transform=transform)
        kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100, "mnist": datasets.MNIST}
        return kind[name](root, train=train, transform=transform, download=download)
    except RuntimeError as error:
        how = (
            "get the ILSVRC2012 archives from image-net.org and put them there"
            if name == "imagenet"
            else f"torchvision.datasets.{kind[name].__name__}({root!r}, download=True) fetches it"
        )
        raise FileNotFoundError(f"{name} is not in {root!r} ({error}); {how}") from error


def _class_numbers(folders: list[str], class_list: Path) -> list[int]:
    """The number in a list of classes of each folder."""
    if not class_list.is_file():
        raise FileNotFoundError(f"no list of classes {str(class_list)!r}")
    lines = class_list.read_text(encoding="utf-8").splitlines()
    numbers = {name.strip(): k for k, name in enumerate(lines)}
    missing = [name for name in folders if name not in numbers]
    if missing:
        raise ValueError(
            f"{len(missing)} folders are not in {str(class_list)!r}, such as {missing[0]!r}"
        )
    return [numbers[name] for name in folders]


def split(data: Dataset, count: int, seed: int = 0) -> tuple[Dataset, Dataset]:
    """`count` items drawn without replacement, and the rest.

    Raises:
        ValueError: `count` is not from 1 to one less than the size of the data set.
    """
    if not 1 <= count < len(data):
        raise ValueError(f"cannot split {count} from {len(data)} items")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed)).tolist()
    return Subset(data, order[:count]), Subset(data, sorted(order[count:]))


def subset(data: Dataset, count: int | None, seed: int = 0) -> Dataset:
    """`count` items drawn without replacement, all of them if None.

    Raises:
        ValueError: `count` is not from 1 to the size of the data set.
    """
    if count is None:
        return data
    if not 1 <= count <= len(data):
        raise ValueError(f"cannot take {count} of {len(data)} items")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return Subset(data, order[:count].tolist())


def loader(data: Dataset, batch_size: int, *, shuffle: bool = False, workers: int = 0, seed=0):
    """A DataLoader; with `shuffle` the order follows from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(data, batch_size, shuffle=shuffle, num_workers=workers, generator=generator)
