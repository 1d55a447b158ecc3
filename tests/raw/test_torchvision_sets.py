"""The datasets of torchvision, on tiny data in its own layouts, and on the real CIFAR-10 if it is available."""

import pickle
import urllib.error
import urllib.request

import numpy as np
import pytest
from torchvision.datasets import MNIST, STL10, SVHN, USPS

from fkt.core.errors import CorruptData, DatasetNotFound
from tests import fakes_torchvision as fakes
from tests.fakes import counted, read, stacked


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    fakes.write_cifar10(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py"])
def test_cifar10_is_read_from_its_folder_or_the_parent_folder(cifar10, inner):
    raw = read("cifar10", cifar10 / inner)
    assert raw.classes[:2] == ["airplane", "automobile"]
    assert counted(raw) == {"train": [10] * 10, "test": [2] * 10}
    images, labels = stacked(10, 2, 32, 5)
    np.testing.assert_array_equal(raw.load(100 + 7, 3), images[7])
    assert raw.labels[107] == labels[7]
    assert raw.names[107] == "test 7"


class Trap:
    """A pickle that runs code when it is opened."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('a forged pickle was opened')",))


def test_no_pickle_is_opened_if_a_checksum_is_wrong(cifar10):
    forged = cifar10 / "cifar-10-batches-py" / "data_batch_1"
    forged.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CorruptData, match="md5 sum of .*/data_batch_1 is not torchvision's; no file was opened"):
        read("cifar10", cifar10)


@pytest.mark.parametrize(
    ("dataset", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_are_read_from_any_folder_of_the_layout_unless_they_are_cut_short(tmp_path, dataset, kind):
    fakes.write_mnist(tmp_path, 3, 2, kind=kind)
    (tmp_path / "unpacked").symlink_to(tmp_path / kind)
    for inner in ("", kind, f"{kind}/raw", "unpacked"):
        raw = read(dataset, tmp_path / inner)
        assert counted(raw) == {"train": [3] * 10, "test": [2] * 10}
    assert len(raw.classes) == 10 and (dataset != "mnist" or raw.classes[3] == "3")
    images, _ = stacked(10, 3, 28, 0)
    np.testing.assert_array_equal(raw.load(4, 1)[..., 0], images[4].mean(axis=2).astype(np.uint8))
    path = tmp_path / kind / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptData, match="t10k-images-idx3-ubyte cannot be read .*; download it again"):
        read(dataset, tmp_path)


def test_compressed_idx_files_are_read_where_they_are_if_their_checksums_are_right(tmp_path, monkeypatch):
    sums = fakes.write_mnist(tmp_path, 3, 2, packed=True)
    with pytest.raises(CorruptData, match="md5 sum of .*train-images-idx3-ubyte.gz, .* is not torchvision's; no"):
        read("mnist", tmp_path)
    names = [name for name, _ in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", list(zip(names, sums, strict=True)))
    for inner in ("", "MNIST", "MNIST/raw"):
        assert counted(read("mnist", tmp_path / inner)) == {"train": [3] * 10, "test": [2] * 10}
    assert len(list(tmp_path.rglob("*ubyte*"))) == 4, "nothing is unpacked among the raw files"
    (tmp_path / "MNIST" / "raw" / names[3]).unlink()
    with pytest.raises(DatasetNotFound, match=f"1 of 4 files of mnist not found .*; missing: {names[3]}. Set"):
        read("mnist", tmp_path)


def test_usps_is_read(tmp_path, monkeypatch):
    sums = fakes.write_usps(tmp_path)
    lists = {part: [url, name, sums[part]] for part, (url, name, _) in USPS.split_list.items()}
    monkeypatch.setattr(USPS, "split_list", lists)
    raw = read("usps", tmp_path)
    assert counted(raw) == {"train": [6] * 10, "test": [3] * 10}
    images, _ = stacked(10, 6, 16, 0)
    assert np.abs(raw.load(5, 1)[..., 0] - images[5].mean(axis=2)).max() <= 1.1


def test_svhn_is_read_and_its_label_10_is_the_digit_0(tmp_path, monkeypatch):
    sums = fakes.write_svhn(tmp_path)
    lists = {part: [url, name, sums.get(part, md5)] for part, (url, name, md5) in SVHN.split_list.items()}
    monkeypatch.setattr(SVHN, "split_list", lists)
    raw = read("svhn", tmp_path)
    assert counted(raw) == {"train": [6] * 10, "test": [3] * 10}
    images, labels = stacked(10, 6, 32, 0)
    np.testing.assert_array_equal(raw.labels[:60], labels)
    np.testing.assert_array_equal(raw.load(10, 3), images[10])


def test_stl10_needs_only_its_labelled_parts(tmp_path, monkeypatch):
    sums = fakes.write_stl10(tmp_path)
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(STL10, name, [[file, sums.get(file, md5)] for file, md5 in getattr(STL10, name)])
    raw = read("stl10", tmp_path)
    assert counted(raw) == {"train": [4] * 10, "test": [2] * 10}
    images, labels = stacked(10, 4, 96, 0)
    np.testing.assert_array_equal(raw.load(11, 3), images[11])
    np.testing.assert_array_equal(raw.labels[:40], labels)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "usps", "svhn", "stl10"])
def test_a_failed_download_is_reported(tmp_path, monkeypatch, dataset):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DatasetNotFound, match="could not be downloaded"):
        read(dataset, tmp_path / "new", download=True)
