"""Readers of images, and the order in which images are shown."""

import gzip
import io

import numpy as np
import pytest
import torch

from driftless_train import data
from driftless_train.config import ConfigError, DataConfig


def test_order_shows_every_image_once_per_epoch():
    order = data.Order(10, seed=1)
    shown = torch.cat([order.batch(start, 4) for start in range(0, 20, 4)])
    for epoch in shown.split(10):
        assert sorted(epoch.tolist()) == list(range(10))
    assert torch.equal(data.Order(10, seed=1).batch(8, 4), shown[8:12])
    assert not torch.equal(data.Order(10, seed=2).batch(0, 10), shown[:10])


def test_fashion_files(tmp_path):
    images, labels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28), np.array([3, 9])
    header = b"\0\0\x08\x03" + np.array([2, 28, 28], ">u4").tobytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    header = b"\0\0\x08\x01" + np.array([2], ">u4").tobytes()
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(header + labels.astype(np.uint8).tobytes()))
    read = data.load(DataConfig(path=str(tmp_path)), train=True)
    assert read.pixels.shape == (2, 1, 28, 28) and read.labels.tolist() == [3, 9]
    pixels, _ = read.take(torch.tensor([0]))
    assert pixels.dtype == torch.float32 and float(pixels[0, 0, 9, 3]) == 1.0
    assert float(pixels[0, 0, 0, 0]) == -1.0
    every = read.take(slice(None))[0].double()
    assert read.moments() == pytest.approx((float(every.mean()), float(every.std(correction=0))), abs=1e-6)


def test_truncated_file_is_named(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(b"\0\0\x08\x03" + np.array([2, 28, 28], ">u4").tobytes() + b"short"))
    with pytest.raises(ConfigError, match="does not fit its header"):
        data.load(DataConfig(path=str(tmp_path)), train=True)


@pytest.mark.parametrize("dataset", ["fashion-mnist", "npz", "jpeg-npz", "folder"])
def test_missing_data_is_a_sentence(tmp_path, dataset):
    with pytest.raises(ConfigError, match="missing|needs"):
        data.load(DataConfig(dataset, str(tmp_path / "absent")), train=True)


def test_folder_and_jpeg(tmp_path):
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    streams = []
    for i in range(20):
        folder = tmp_path / "images" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture = image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        picture.save(folder / f"{i:02d}.png")
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg")
        streams.append(buffer.getvalue())
    config = DataConfig("folder", str(tmp_path / "images"))
    parts = [data.load(config, train) for train in (True, False)]
    assert [tuple(p.pixels.shape) for p in parts] == [(18, 3, 8, 8), (2, 3, 8, 8)]
    assert parts[1].labels.tolist() == [0, 1]
    limits = np.cumsum([0, *map(len, streams)]).astype(np.uint32)
    np.savez(tmp_path / "x_test.npz", bytes=np.frombuffer(b"".join(streams), np.uint8),
             offset=limits, y=np.arange(20) % 4)
    read = data.load(DataConfig("jpeg-npz", str(tmp_path / "x_{part}.npz")), train=False)
    assert read.pixels.shape == (20, 3, 8, 8) and read.labels[5] == 1
