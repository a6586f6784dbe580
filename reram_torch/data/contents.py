"""Images that two data sets share, found by what they hold and not by their paths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from reram_torch._support import processes
from reram_torch._support.datasets import length
from reram_torch._support.progress import progress
from reram_torch.data.sets import Readable

Pairs: TypeAlias = list[tuple[int, int]]

_SHOWN = 3  # images that a message names
_BATCH = 64  # images that a worker hashes in one go


def origin(data: Dataset[Any], item: int) -> tuple[Dataset[Any], int]:
    """The data set that an item lies in below all subsets, and its place there."""
    while isinstance(data, Subset):
        item, data = int(data.indices[item]), data.dataset
    return data, item


def name_of(data: Dataset[Any], item: int) -> str:
    """The file of an item, or its number in the data set below all subsets."""
    data, item = origin(data, item)
    return data.path(item) if isinstance(data, Readable) else f"image {item}"


def pixels(data: Dataset[Any], item: int) -> npt.NDArray[Any] | None:
    """An image as it is stored, decoded and before any transform; None if it cannot be read.

    Grey images have no channels, also where they are stored with three equal ones. A data set of a
    kind that is not known here gives its inputs, whatever its transforms did to them.
    """
    data, item = origin(data, item)
    stored = getattr(data, "data", None)  # as torchvision's CIFAR and MNIST have it
    if isinstance(data, Readable):
        image = data.decoded(item)
    elif isinstance(data, TensorDataset):
        image = data.tensors[0][item]
    elif isinstance(stored, np.ndarray | torch.Tensor):
        image = stored[item]
    else:
        found = data[item]
        image = found[0] if isinstance(found, tuple | list) else found
    if image is None:
        return None
    array = image.numpy(force=True) if isinstance(image, torch.Tensor) else np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    return array


def digest(data: Dataset[Any], item: int) -> bytes | None:
    """A hash of what `pixels` gives: equal for equal images, whatever file each is in."""
    array = pixels(data, item)
    if array is None:
        return None
    found = hashlib.blake2b(f"{array.dtype} {array.shape}".encode(), digest_size=16)
    found.update(np.ascontiguousarray(array).data)
    return found.digest()


class _Digests(Dataset[Any]):
    """The places and digests of some items, for a DataLoader."""

    def __init__(self, data: Dataset[Any], items: Sequence[int]):
        self.data, self.items = data, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, k: int) -> tuple[int, bytes | None]:
        return self.items[k], digest(self.data, self.items[k])


def _digests(
    data: Dataset[Any], items: Sequence[int], workers: int, show_progress: bool
) -> Iterator[tuple[int, bytes]]:
    """Places and digests of this process's share of items, without those of no digest."""
    own = items[processes.rank() :: processes.world()]
    batches = DataLoader(_Digests(data, own), _BATCH, num_workers=workers, collate_fn=list)
    show = show_progress and processes.rank() == 0
    with progress(description="compare images", total=len(own), unit="img", show=show) as bar:
        for batch in batches:
            yield from ((k, found) for k, found in batch if found is not None)
            bar.update(len(batch))


def _size(data: Dataset[Any], item: int) -> tuple[int, int] | None:
    """Width and height from a file's header; None if it cannot be read."""
    from PIL import Image

    data, item = origin(data, item)
    assert isinstance(data, Readable)
    try:
        with Image.open(data.path(item)) as image:
            return image.size
    except Exception:  # what a decoder raises on damaged bytes is anyone's guess
        return None


def _sizes(data: Dataset[Any], show_progress: bool) -> list[tuple[int, int] | None]:
    show = show_progress and processes.rank() == 0
    items = range(length(data))
    return [
        _size(data, k) for k in progress(items, description="compare sizes", unit="img", show=show)
    ]


def _of_equal_sizes(
    one: Dataset[Any], other: Dataset[Any], show_progress: bool
) -> tuple[Sequence[int], Sequence[int]]:
    """Items of both that are as large as one of the other: no others need be decoded."""
    if not all(length(d) and isinstance(origin(d, 0)[0], Readable) for d in (one, other)):
        return range(length(one)), range(length(other))
    sizes = [_sizes(data, show_progress) for data in (one, other)]
    both = set(sizes[0]) & set(sizes[1]) - {None}
    first, second = ([k for k, size in enumerate(found) if size in both] for found in sizes)
    return first, second


def shared(
    one: Dataset[Any], other: Dataset[Any], *, workers: int = 0, show_progress: bool = True
) -> Pairs:
    """The images that two data sets share: decoded, before any transform, pixel by pixel the same.

    Of files only those are decoded that are as large as one of the other data set. With several
    processes each hashes its share.

    Args:
        one: folders, torchvision's data sets, tensors, subsets, or any other (see `pixels`).
        other: likewise.
        workers: processes that read images.
        show_progress: draw a tqdm bar if tqdm is installed.

    Returns:
        pairs of a place in `one` and one in `other`, in order.
    """
    flipped = length(one) > length(other)  # the digests of the smaller one are kept
    few, many = (other, one) if flipped else (one, other)
    few_items, many_items = _of_equal_sizes(few, many, show_progress)
    places: dict[bytes, list[int]] = {}
    for part in processes.gather(list(_digests(few, few_items, workers, show_progress))):
        for k, found in part:
            places.setdefault(found, []).append(k)
    matches = [
        (near, k)
        for k, found in _digests(many, many_items, workers, show_progress)
        for near in places.get(found, ())
    ]
    pairs = [pair for part in processes.gather(matches) for pair in part]
    return sorted((b, a) for a, b in pairs) if flipped else sorted(pairs)


def message(
    pairs: Pairs, test: Dataset[Any], other: Dataset[Any], names: tuple[str, str], kind: str
) -> str:
    """What two data sets share, in words, with the first few images.

    Args:
        pairs: as `shared` found them; not empty.
        test: test images.
        other: what they must not be among.
        names: of both data sets.
        kind: of the images of `other`: `training` or `calibration`.
    """
    count = len({a for a, _ in pairs})
    shown = "; ".join(f"{name_of(test, a)} is {name_of(other, b)}" for a, b in pairs[:_SHOWN]) + (
        "; ..." if len(pairs) > _SHOWN else ""
    )
    return (
        f"{count} of the {length(test)} test images ({names[0]}) are {kind} images ({names[1]}) "
        f"too: {shown}"
    )


def check_apart(
    test: Dataset[Any], other: Dataset[Any], names: tuple[str, str], kind: str = "training",
    *, remedy: str = "", workers: int = 0, show_progress: bool = True,
) -> None:  # fmt: skip
    """Raises if a test image is also a training or calibration image, by content.

    Args:
        test: test images.
        other: what they must not be among.
        names: of both data sets, for the message.
        kind: of the images of `other`: `training` or `calibration`.
        remedy: what else the user can do.
        workers: as `shared` takes it; `show_progress` likewise.
        show_progress: see there.

    Raises:
        ValueError: it is; the message says how many are, which, of which data sets, and what to do.
    """
    pairs = shared(test, other, workers=workers, show_progress=show_progress)
    if pairs:
        what = message(pairs, test, other, names, kind)
        raise ValueError(f"{what}: take them out of one of the two{remedy}")
