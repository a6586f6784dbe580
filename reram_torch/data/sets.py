"""Data sets by name (needs the extra `data`)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from reram_torch._support.checks import check_choice
from reram_torch._support.datasets import length

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)
AUGMENTATIONS = ("none", "shift", "flip", "resized")
TORCHVISION = ("cifar10", "cifar100", "mnist", "imagenet")
SPLIT = ("digits", *TORCHVISION, "imagefolder")  # what has training images of its own

_LAYOUT = "one folder of images for each class"
_Transform: TypeAlias = Callable[[Any], torch.Tensor]


class _UnreadableError(Exception):
    """An image file that cannot be read."""


def _read(read: Callable[[str], Any], path: str) -> Any:
    try:
        return read(path)
    except Exception as error:  # what a decoder raises on damaged bytes is anyone's guess
        raise _UnreadableError(f"{path} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The kind of an error and its first sentence: torch's messages run on."""
    return f"{type(error).__name__}: {str(error).partition('. ')[0]}".removesuffix(": ")


class Folder(Protocol):
    """What torchvision's DatasetFolder has."""

    loader: Callable[[str], Any]
    classes: Sequence[Any]
    samples: Sequence[tuple[str, int]]

    def __len__(self) -> int: ...
    def __getitem__(self, item: int, /) -> Any: ...


class Readable(Dataset[Any]):
    """A folder of images in which those that cannot be read are None, each with a warning.

    Errors of transforms are raised as they are. `collate` leaves the Nones out of a batch.

    Args:
        data: torchvision's ImageFolder, ImageNet, or another DatasetFolder.
        classes: names of the classes by label, those of `data` if not given.
    """

    def __init__(self, data: Folder, classes: Sequence[Any] | None = None):
        self.data = copy.copy(data)
        self.data.loader = partial(_read, data.loader)
        self.classes = data.classes if classes is None else classes

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: int) -> Any:
        try:
            return self.data[item]
        except _UnreadableError as error:
            warnings.warn(f"skipped an image that cannot be read: {error}", stacklevel=2)
            return None

    def path(self, item: int) -> str:
        """The file of an image."""
        return str(self.data.samples[item][0])

    def decoded(self, item: int) -> Any:
        """An image before any transform, as the folder's loader gives it; None if unreadable."""
        try:
            return self.data.loader(self.path(item))
        except _UnreadableError:
            return None


def collate(items: Sequence[Any]) -> Any:
    """A batch of the items that are not None, as torch makes it; None if there are none."""
    readable = [item for item in items if item is not None]
    return default_collate(readable) if readable else None


def class_count(data: Dataset[Any]) -> int | None:
    """How many classes a data set has, looked up through subsets and wrappers; None if unknown."""
    names = getattr(data, "classes", None)
    if names is not None:
        return len(names)
    inner = getattr(data, "dataset", getattr(data, "data", None))
    return class_count(inner) if isinstance(inner, Dataset) else None


class _Labelled(TensorDataset):
    """Images and labels, and the names of the classes."""

    classes: Sequence[str]


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
    found = _Labelled(images[chosen], labels[chosen])
    found.classes = [str(k) for k in range(10)]
    return found


def _transform(
    size: int | None,
    resize: int | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    augment: str,
) -> _Transform:
    from torchvision import transforms as t

    if augment == "resized":
        steps = [t.RandomResizedCrop(size), t.RandomHorizontalFlip()]
    else:
        steps = [t.Resize(resize or size), t.CenterCrop(size)] if size else []
    if size is not None and augment in ("shift", "flip"):
        # Zero-padded by an eighth (He et al., CVPR 2016, 4.2).
        steps.append(t.RandomCrop(size, padding=size // 8))
    if augment == "flip":
        steps.append(t.RandomHorizontalFlip())
    made: _Transform = t.Compose([*steps, t.ToTensor(), t.Normalize(mean, std)])
    return made


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
) -> Dataset[Any]:
    """A data set for classification.

    Args:
        name: `digits`, a torchvision data set (`cifar10`, `cifar100`, `mnist`, `imagenet`),
            `imagefolder` (see `root`), or the path of a folder with one folder of images for each
            class.
        train: the training split rather than the test split (a path has only one).
        root: where torchvision's data sets lie. For `imagefolder` the folder of `train` and `val`
            (or `test`), each with one folder of images for each class.
        size: height and width that images are cropped to; None: as they are.
        resize: short side that they are resized to before, `size` if not given.
        mean: of each channel, for normalisation.
        std: of each channel, likewise.
        class_list: a text file that names the classes of the network, a line each in their order;
            for a path or an `imagefolder` that holds some of them.
        augment: `none`, `shift` (random crops of the padded image), `flip` (shifted, and mirrored
            every other time) or `resized` (random parts of the image, mirrored likewise).
        download: fetch a torchvision data set that is not there (not ImageNet).

    Returns:
        pairs of an image and a label; in folders and ImageNet, None for an image that cannot be
        read (see `Readable`), so batch them with `loader` or `collate`.

    Raises:
        FileNotFoundError: the data set is not there; the message says how to get it.
        ValueError: the data set is damaged; the splits of an `imagefolder` have other classes each;
            a folder's name is not in `class_list`, or `class_list` is given for another data set;
            `augment` is unknown, or needs `size`.
    """
    check_choice("augment", augment, AUGMENTATIONS)
    if augment != "none" and (size is None or name == "digits"):
        raise ValueError(f"augment={augment!r} needs a size, and images that are not digits")
    if class_list is not None and (name == "digits" or name in TORCHVISION):
        raise ValueError(f"class_list is for folders of images, not for {name!r}")
    if name == "digits":
        return digits(train, size or 32)
    _check_images(name)
    transform = _transform(size, resize, mean, std, augment)
    if name == "imagenet":
        return Readable(_imagenet(root, train, transform))
    if name in TORCHVISION:
        return _packed(name, root, train, transform, download)
    folder = Path(name)
    if name == "imagefolder":
        folder = _split_folder(Path(root).expanduser(), train, alike=class_list is None)
    return _folder(folder, transform, class_list)


def _check_images(name: str) -> None:
    """Raises unless a name is that of images, and there is what reads them."""
    if name not in SPLIT and not Path(name).is_dir():
        raise FileNotFoundError(
            f"no data set {name!r}: known are {', '.join(SPLIT)}, or the path of a folder with "
            f"{_LAYOUT}"
        )
    try:
        import torchvision  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "image data sets need torchvision, which is in the extra 'data'"
        ) from error


def _packed(
    name: str, root: str, train: bool, transform: _Transform, download: bool
) -> Dataset[Any]:
    """A data set that torchvision reads whole from a few files."""
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100, "mnist": datasets.MNIST}
    made = kind[name]
    how = f"torchvision.datasets.{made.__name__}({root!r}, download=True) fetches it"
    try:
        found = made(root, train=train, transform=transform, download=download)
        if len(found.data) != len(found.targets):
            raise ValueError(f"{len(found.data)} images, {len(found.targets)} labels")
        data: Dataset[Any] = found
        return data
    except Exception as error:  # torchvision's own, pickle's, assertions, the network's
        why = f"({_reason(error)})"
        folder = Path(root).expanduser() / getattr(made, "base_folder", made.__name__)
        if any(path.is_file() for path in folder.rglob("*")):
            raise ValueError(
                f"{name} in {root!r} is damaged or incomplete {why}: delete {str(folder)!r}, then "
                f"{how}"
            ) from error
        raise FileNotFoundError(f"{name} is not in {root!r} {why}: {how}") from error


def _imagenet(root: str, train: bool, transform: _Transform) -> Folder:
    from torchvision import datasets

    split = "train" if train else "val"
    meta, folder = (Path(root).expanduser() / part for part in ("meta.bin", split))
    try:
        found: Folder = datasets.ImageNet(root, split, transform=transform)
        return found
    except Exception as error:  # torchvision's own, pickle's, the disk's
        why = f"({_reason(error)})"
        if not meta.is_file() or not folder.is_dir() or isinstance(error, FileNotFoundError):
            raise FileNotFoundError(
                f"imagenet is not in {root!r} {why}: get the ILSVRC2012 archives from "
                "image-net.org and put them there; 'imagefolder' needs none, only train and val, "
                f"each with {_LAYOUT}"
            ) from error
        raise ValueError(
            f"imagenet in {root!r}: {str(meta)!r} is damaged, or of other classes than "
            f"{str(folder)!r} {why}; delete it, and torchvision makes it again from "
            "ILSVRC2012_devkit_t12.tar.gz, which image-net.org has"
        ) from error


def _split_folder(root: Path, train: bool, *, alike: bool) -> Path:
    """The folder of a split; with `alike` the other one must have the same classes."""
    tests = [root / name for name in ("val", "test")]
    splits = root / "train", next((folder for folder in tests if folder.is_dir()), tests[0])
    wanted, other = splits if train else splits[::-1]
    if not wanted.is_dir():
        raise FileNotFoundError(
            f"no folder {str(wanted)!r}: an imagefolder is a root (here {str(root)!r}) with train "
            f"and val (or test), each with {_LAYOUT}"
        )
    if alike and other.is_dir():
        _check_alike(*splits)
    return wanted


def _check_alike(train: Path, test: Path) -> None:
    """Raises ValueError unless two folders have the same classes."""
    a, b = ({path.name for path in folder.iterdir() if path.is_dir()} for folder in (train, test))
    if a != b:
        odd = min(a ^ b)
        raise ValueError(
            f"{str(train)!r} has {len(a)} classes and {str(test)!r} has {len(b)}; {odd!r} is only "
            f"in {(train if odd in a else test).name}: labels would mean different classes "
            "(a class_list gives both the same)"
        )


def _folder(folder: Path, transform: _Transform, class_list: str | Path | None) -> Readable:
    from torchvision import datasets

    try:
        found = datasets.ImageFolder(folder, transform)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{str(folder)!r} needs {_LAYOUT}: {error}") from error
    if class_list is None:
        return Readable(found)
    names = _class_names(Path(class_list))
    numbers = {name: k for k, name in enumerate(names)}
    missing = [name for name in found.classes if name not in numbers]
    if missing:
        raise ValueError(
            f"{len(missing)} folders are not in {str(class_list)!r}, such as {missing[0]!r}"
        )
    found.target_transform = [numbers[name] for name in found.classes].__getitem__
    return Readable(found, names)


def _class_names(class_list: Path) -> list[str]:
    if not class_list.is_file():
        raise FileNotFoundError(f"no list of classes {str(class_list)!r}")
    lines = class_list.read_text(encoding="utf-8").rstrip().splitlines()
    return [line.strip() for line in lines]


def split(data: Dataset[Any], count: int, seed: int = 0) -> tuple[Subset[Any], Subset[Any]]:
    """`count` items drawn without replacement, and the rest.

    Raises:
        ValueError: `count` is not from 1 to one less than the size of the data set.
    """
    most = length(data)
    if not 1 <= count < most:
        raise ValueError(f"cannot split {count} from {most} items")
    order = torch.randperm(most, generator=torch.Generator().manual_seed(seed)).tolist()
    return Subset(data, order[:count]), Subset(data, sorted(order[count:]))


def subset(data: Dataset[Any], count: int | None, seed: int = 0) -> Dataset[Any]:
    """`count` items drawn without replacement, all of them if None.

    Raises:
        ValueError: `count` is not from 1 to the size of the data set.
    """
    return data if count is None else Subset(data, drawn(length(data), count, seed))


def drawn(most: int, count: int, seed: int = 0) -> list[int]:
    """The places of `count` of so many items, drawn without replacement.

    Raises:
        ValueError: `count` is not from 1 to `most`.
    """
    if not 1 <= count <= most:
        raise ValueError(f"cannot take {count} of {most} items")
    order = torch.randperm(most, generator=torch.Generator().manual_seed(seed))
    return order[:count].tolist()


def loader(
    data: Dataset[Any],
    batch_size: int,
    *,
    shuffle: bool = False,
    workers: int = 0,
    seed: int = 0,
) -> DataLoader[Any]:
    """A DataLoader with `collate`; with `shuffle` the order follows from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(
        data, batch_size, shuffle=shuffle, num_workers=workers, generator=generator,
        collate_fn=collate,
    )  # fmt: skip
