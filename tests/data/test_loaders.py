"""Data sets in their own formats, damaged ones, and published weights."""

import pickle
import struct
import warnings
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
import torch
from images import image_folder
from torch.utils.data import Subset, TensorDataset

import reram_torch as rt
from reram_torch.data import sets
from reram_torch.models import zoo
from reram_torch.training.fit import Seeded

PIXELS = np.full((2, 3072), 7, dtype=np.uint8)


def damage(path):
    """Half of an image file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A root with two images in each file of CIFAR-10 and CIFAR-100."""
    datasets = pytest.importorskip("torchvision.datasets")
    tens = {name: ("labels", [3, 9]) for name, _ in datasets.CIFAR10.train_list}
    tens |= {"test_batch": ("labels", [1, 2])}
    hundreds = {"train": ("fine_labels", [31, 99]), "test": ("fine_labels", [0, 1])}
    folders = {"cifar-10-batches-py": tens, "cifar-100-python": hundreds}
    for folder, files in folders.items():
        (tmp_path / folder).mkdir()
        for name, (key, labels) in files.items():
            (tmp_path / folder / name).write_bytes(pickle.dumps({"data": PIXELS, key: labels}))
    for folder, name, key, count in (
        ("cifar-10-batches-py", "batches.meta", "label_names", 10),
        ("cifar-100-python", "meta", "fine_label_names", 100),
    ):
        meta = {key: [f"class{k}" for k in range(count)]}
        (tmp_path / folder / name).write_bytes(pickle.dumps(meta))
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    return tmp_path


@pytest.fixture
def mnist(tmp_path):
    """A root with two images in each file of MNIST."""
    pytest.importorskip("torchvision")
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).tobytes()
        header = struct.pack(">IIII", 2051, 2, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images)
        labels = struct.pack(">II", 2049, 2) + bytes([4, 1])
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return tmp_path


@pytest.fixture
def imagenet(tmp_path):
    """A root with two images in each of two classes of both splits, and `meta.bin`."""
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("torchvision")
    names = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish",)}
    torch.save((names, list(names)), tmp_path / "meta.bin")
    for split in ("train", "val"):
        for path in image_folder(tmp_path / split, 2, tuple(names)).rglob("*.png"):
            with image.open(path) as png:
                png.save(path.with_suffix(".JPEG"))
            path.unlink()
    return tmp_path


def test_image_folder(tmp_path):
    pytest.importorskip("torchvision")
    found = sets.load_dataset(str(image_folder(tmp_path / "images")), size=24)
    assert len(found) == 12
    assert found[0][0].shape == (3, 24, 24)
    assert found.classes == ["cat", "dog"]


@pytest.mark.parametrize("test", ["val", "test"])
def test_an_image_folder_with_splits(tmp_path, test):
    pytest.importorskip("torchvision")
    image_folder(tmp_path / "train", 5)
    with pytest.raises(FileNotFoundError, match="train and val .or test., each with one folder"):
        sets.load_dataset("imagefolder", root=str(tmp_path))
    image_folder(tmp_path / test, 2)
    found = [sets.load_dataset("imagefolder", root=str(tmp_path), train=t) for t in (True, False)]
    assert [len(part) for part in found] == [10, 4]
    assert [y for _, y in found[1]] == [0, 0, 1, 1]
    if test == "val":  # wins
        image_folder(tmp_path / "test", 1)
        assert len(sets.load_dataset("imagefolder", root=str(tmp_path))) == 4


def test_splits_must_have_the_same_classes(tmp_path):
    pytest.importorskip("torchvision")
    image_folder(tmp_path / "train", 1, ("ant", "cat", "dog"))
    image_folder(tmp_path / "val", 1)
    for train in (True, False):
        message = "train' has 3 classes and .*val' has 2; 'ant' is only in train"
        with pytest.raises(ValueError, match=message):
            sets.load_dataset("imagefolder", root=str(tmp_path), train=train)
    names = tmp_path / "classes.txt"
    names.write_text("ant\ncat\ndog\n\n")
    found = sets.load_dataset("imagefolder", root=str(tmp_path), class_list=names)
    assert [y for _, y in found] == [1, 2]
    assert sets.class_count(found) == 3


def test_a_folder_may_hold_some_of_the_classes(tmp_path):
    pytest.importorskip("torchvision")
    folder, names = image_folder(tmp_path / "images"), tmp_path / "classes.txt"
    here = sorted(x.name for x in folder.iterdir())
    names.write_text("\n".join(["another", *here[::-1]]) + "\n")
    plain = sets.load_dataset(str(folder))
    found = sets.load_dataset(str(folder), class_list=names)
    assert [y for _, y in found] == [len(here) - y for _, y in plain]
    assert [found.classes[y] for _, y in found] == [plain.classes[y] for _, y in plain]
    names.write_text("another\n")
    with pytest.raises(ValueError, match=f"2 folders are not in .*such as '{here[0]}'"):
        sets.load_dataset(str(folder), class_list=names)
    with pytest.raises(FileNotFoundError, match="no list of classes"):
        sets.load_dataset(str(folder), class_list=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="class_list is for folders of images, not for 'digits'"):
        sets.load_dataset("digits", class_list=names)


def test_a_folder_without_images(tmp_path):
    pytest.importorskip("torchvision")
    (image_folder(tmp_path, 1) / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="one folder of images .*for the classes empty"):
        sets.load_dataset(str(tmp_path))


@pytest.mark.filterwarnings("ignore")  # torchvision unpickles with an old numpy flag
def test_cifar_in_its_own_format(cifar):
    found = sets.load_dataset("cifar10", train=True, root=str(cifar))
    assert len(found) == 10
    assert found[1][1] == 9
    assert found[0][0].shape == (3, 32, 32)
    assert sets.class_count(found) == 10
    for train, labels in ((True, [31, 99]), (False, [0, 1])):
        found = sets.load_dataset("cifar100", train=train, root=str(cifar))
        assert [y for _, y in found] == labels
        assert sets.class_count(found) == 100


@pytest.mark.filterwarnings("ignore")  # as above
@pytest.mark.parametrize(
    "content",
    [b"", b"not a pickle", pickle.dumps([1]), pickle.dumps({"data": PIXELS, "fine_labels": [1]})],
)
def test_damaged_cifar_says_what_to_do(cifar, content):
    (cifar / "cifar-100-python" / "test").write_bytes(content)
    with pytest.raises(ValueError, match="cifar100 in .*: delete '.*cifar-100-python'.*download="):
        sets.load_dataset("cifar100", root=str(cifar))


def test_an_incomplete_cifar_says_what_to_do(tmp_path):
    pytest.importorskip("torchvision")
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"cut short")
    with pytest.raises(ValueError, match="cifar10 in .* is damaged or incomplete"):
        sets.load_dataset("cifar10", root=str(tmp_path))


def test_mnist_in_its_own_format(mnist):
    found = sets.load_dataset("mnist", root=str(mnist), size=32, mean=(0.5,), std=(0.5,))
    assert [label for _, label in found] == [4, 1]
    assert found[0][0].shape == (1, 32, 32)
    assert sets.class_count(found) == 10


@pytest.mark.parametrize("length", [0, 3, 10, 16, 800, None])
def test_damaged_mnist_says_what_to_do(mnist, length):
    path = mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    one_image = struct.pack(">IIII", 2051, 1, 28, 28) + bytes(28 * 28)  # for two labels
    path.write_bytes(one_image if length is None else path.read_bytes()[:length])
    with pytest.raises(ValueError, match="mnist in .*: delete '.*MNIST'.*download=True"):
        sets.load_dataset("mnist", root=str(mnist))
    assert len(sets.load_dataset("mnist", root=str(mnist), train=True)) == 2


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist"])
def test_missing_data_sets_say_how_to_get_them(name, tmp_path):
    pytest.importorskip("torchvision")
    with pytest.raises(FileNotFoundError, match="download=True"):
        sets.load_dataset(name, root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="one folder of images for each class"):
        sets.load_dataset("cifar11")


def test_a_failed_download_says_how_to_get_it(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")

    def fail(self):
        raise URLError("no route")

    monkeypatch.setattr(datasets.CIFAR10, "download", fail)
    with pytest.raises(FileNotFoundError, match="cifar100 is not in .*no route"):
        sets.load_dataset("cifar100", root=str(tmp_path), download=True)


def test_imagenet_in_its_own_format(imagenet):
    for train in (True, False):
        found = sets.load_dataset("imagenet", root=str(imagenet), train=train, size=16)
        assert [y for _, y in found] == [0, 0, 1, 1]
        assert found[0][0].shape == (3, 16, 16)
        assert found.classes[1] == ("goldfish",)
        assert sets.class_count(found) == 2
    path = next((imagenet / "val" / "n01443537").iterdir())
    damage(path)
    found = sets.load_dataset("imagenet", root=str(imagenet))
    with pytest.warns(UserWarning, match=path.name):
        assert sum(item is None for item in found) == 1


def test_missing_imagenet_says_how_to_get_it(tmp_path):
    pytest.importorskip("torchvision")
    with pytest.raises(FileNotFoundError, match="image-net.org"):
        sets.load_dataset("imagenet", root=str(tmp_path))
    image_folder(tmp_path / "val", 1)
    with pytest.raises(FileNotFoundError, match="'imagefolder' needs none"):
        sets.load_dataset("imagenet", root=str(tmp_path))


def test_damaged_imagenet_says_what_to_do(imagenet):
    for content in (b"", b"not a torch file"):
        (imagenet / "meta.bin").write_bytes(content)
        with pytest.raises(ValueError, match="imagenet in .*meta.bin' is damaged.*delete it"):
            sets.load_dataset("imagenet", root=str(imagenet))
    torch.save(({"n01440764": ("tench",)}, []), imagenet / "meta.bin")
    with pytest.raises(ValueError, match="or of other classes than .*'n01443537'"):
        sets.load_dataset("imagenet", root=str(imagenet))


def test_images_that_cannot_be_read_are_skipped(tmp_path):
    pytest.importorskip("torchvision")
    folder = image_folder(tmp_path / "images", 4)
    noise = pytest.importorskip("PIL.Image").effect_noise((32, 32), 90)
    noise.save(folder / "cat" / "4.jpg")
    damage(folder / "cat" / "4.jpg")
    (folder / "dog" / "0.png").write_text("not an image")
    found = sets.load_dataset(str(folder), size=32)
    with pytest.warns(UserWarning, match="image that cannot be read") as caught:
        missing = [k for k in range(len(found)) if found[k] is None]
    assert missing == [4, 5]
    for warning, name in zip(caught, ("4.jpg (OSError", "0.png (Unidentified"), strict=True):
        assert name in str(warning.message)
    assert len(found) == 9
    with pytest.warns(UserWarning, match="cannot be read"):
        batches = list(sets.loader(sets.subset(found, None), 3))
    assert [len(y) for _, y in batches] == [3, 1, 3]
    assert torch.cat([y for _, y in batches]).tolist() == [0, 0, 0, 0, 1, 1, 1]
    with pytest.warns(UserWarning, match="cannot be read"):
        [none, some] = sets.loader(Seeded(Subset(found, [4, 5, 0]), 0), 2)
    assert none is None
    assert torch.equal(some[0][0], found[0][0])


def test_unreadable_images_in_workers(tmp_path):
    pytest.importorskip("torchvision")
    folder = image_folder(tmp_path, 2)
    damage(folder / "cat" / "0.png")
    found = sets.load_dataset(str(folder), size=32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # workers take it over
        batches = list(sets.loader(found, 1, workers=1))
    assert [batch is None for batch in batches] == [True, False, False, False]


def test_errors_of_a_transform_are_the_users(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")

    def transform(image):
        raise OSError("mine")

    plain = datasets.ImageFolder(image_folder(tmp_path), transform)
    with pytest.raises(OSError, match="mine"):
        sets.Readable(plain)[0]
    (tmp_path / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(OSError, match="cannot identify"):
        plain[0]  # the wrapper left it as it was


def test_the_number_of_classes(tmp_path):
    pytest.importorskip("sklearn")
    digits = sets.digits(train=False)
    assert sets.class_count(digits) == 10
    assert sets.class_count(Seeded(sets.subset(digits, 20), 0)) == 10
    assert sets.class_count(sets.split(digits, 20)[1]) == 10
    assert sets.class_count(TensorDataset(torch.zeros(3))) is None
    assert set(sets.SPLIT) == {"digits", "imagefolder", *sets.TORCHVISION}


@pytest.fixture
def published(monkeypatch):
    """A network, torchvision's entry for its weights, and what stands for their download."""
    zoo = pytest.importorskip("torchvision.models")
    net, entry = zoo.squeezenet1_1(), zoo.SqueezeNet1_1_Weights.DEFAULT
    download = Mock(return_value=net.state_dict())
    monkeypatch.setattr(type(entry), "get_state_dict", download)
    return net, entry, download


@pytest.mark.parametrize(
    "name", ["DEFAULT", "IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"]
)
def test_published_weights_by_name(published, name):
    net = zoo.build_model("squeezenet1_1", 1000, name)
    for a, b in zip(net.parameters(), published[0].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("published")
def test_published_weights_that_do_not_fit(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="is for 1000 classes, not 10"):
        zoo.build_model("squeezenet1_1", 10, "DEFAULT")
    for name in ("IMAGENET1K_V9", "ResNet18_Weights.IMAGENET1K_V1"):
        with pytest.raises(ValueError, match=f"no weights '{name}' .*'IMAGENET1K_V1', 'DEFAULT'"):
            zoo.build_model("squeezenet1_1", 1000, name)
    with pytest.raises(ValueError, match="has no classifier"):
        zoo.build_model("vgg16", 1000, "IMAGENET1K_FEATURES")
    with pytest.raises(FileNotFoundError, match="no file of weights 'DEFAULT'"):
        zoo.build_model("lenet5", 10, "DEFAULT")
    with pytest.raises(FileNotFoundError, match="no file of weights 'no.pt'"):
        zoo.build_model("squeezenet1_1", 1000, "no.pt")
    monkeypatch.chdir(tmp_path)  # a file wins over a name
    torch.save(zoo.build_model("squeezenet1_1", 3).state_dict(), "DEFAULT")
    net = zoo.build_model("squeezenet1_1", 3, "DEFAULT")
    assert net.classifier[1].out_channels == 3


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("invalid hash value")])
def test_a_failed_download_of_weights_says_what_to_do(published, tmp_path, monkeypatch, error):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    _, entry, download = published
    download.side_effect = error
    file = f"checkpoints/{entry.url.rpartition('/')[2]}"
    with pytest.raises(
        FileNotFoundError, match=f"get {entry.url} and put it at '{tmp_path}.*{file}"
    ):
        zoo.build_model("squeezenet1_1", 1000, "DEFAULT")


@pytest.mark.parametrize("content", [b"", b"text", bytes(range(256)) * 4, b"PK\x03\x04 zip"])
def test_what_torch_cannot_read_is_named(lenet, tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ValueError, match="a.pt holds no state_dict"):
        zoo.load_weights(lenet, tmp_path / "a.pt")


@pytest.mark.parametrize("nested", [False, True])
def test_a_float_model_takes_a_converted_checkpoint(lenet, calibrated, tmp_path, nested):
    state = calibrated.state_dict()
    assert "conv1._extra_state" in state
    state |= {f"fc3.log_{what}_step": torch.zeros(1) for what in ("input", "weight")}
    torch.save({"state_dict": state} if nested else state, tmp_path / "a.pt")
    loaded = zoo.load_weights(zoo.LeNet5(), tmp_path / "a.pt")
    assert torch.equal(loaded.fc3.weight, lenet.fc3.weight)
    torch.save({f"module.{k}": v for k, v in calibrated.state_dict().items()}, tmp_path / "b.pt")
    again = zoo.load_weights(rt.convert(zoo.LeNet5()), tmp_path / "b.pt")
    assert again.conv1.input_range == calibrated.conv1.input_range
