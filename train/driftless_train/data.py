"""Images as one uint8 tensor [n, c, h, w] and labels int64 [n]; all sets fit in memory."""

import gzip
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .config import ConfigError
from .draws import generator

FASHION_HOME = "/usr/share/datasets/fashion-mnist"
FASHION_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                 "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Images:
    """One part (training or held-out) of a data set."""

    pixels: torch.Tensor  # uint8 [n, c, h, w]
    labels: torch.Tensor  # int64 [n]

    def __len__(self):
        return len(self.pixels)

    def take(self, index):
        """Images [k, c, h, w] float32 in [-1, 1] and labels [k]."""
        return self.pixels[index].float() / 127.5 - 1, self.labels[index]

    def moments(self):
        """(mean, standard deviation) over images and pixels, in [-1, 1]."""
        counts = torch.bincount(self.pixels.flatten(), minlength=256).double()
        values = torch.arange(256, dtype=torch.float64) / 127.5 - 1
        mean = float(counts @ values / counts.sum())
        return mean, float((counts @ (values - mean) ** 2 / counts.sum()).sqrt())


def load(config, train):
    """The training (train=True) or held-out part of the configured data set."""
    readers = {"fashion-mnist": _fashion, "npz": _npz, "jpeg-npz": _jpeg_npz, "folder": _folder}
    if config.dataset not in readers:
        raise ConfigError(f"data.dataset = {config.dataset!r}: allowed are {', '.join(readers)}")
    pixels, labels = readers[config.dataset](config.path, train)
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)))


def _fashion(path, train):
    home = Path(path or FASHION_HOME)
    stem = "train" if train else "t10k"
    images = home / f"{stem}-images-idx3-ubyte.gz"
    if not images.exists():
        raise ConfigError(f"{images} is missing: install the Debian package dataset-fashion-mnist"
                          " or set data.path to a folder with the four idx files")
    return _idx(images)[:, None], _idx(home / f"{stem}-labels-idx1-ubyte.gz")


def _npz(path, train):
    """train_x, train_y, test_x, test_y; images [n, h, w] or [n, c, h, w] uint8."""
    if not Path(path).is_file():
        raise ConfigError(f"data.path = {path!r}: dataset npz needs a file with"
                          " train_x, train_y, test_x, test_y")
    stem = "train" if train else "test"
    with np.load(path) as arrays:
        x, y = arrays[f"{stem}_x"], arrays[f"{stem}_y"]
    return (x[:, None] if x.ndim == 3 else x), y


def _jpeg_npz(path, train):
    """Two files NAME_train.npz and NAME_test.npz, `path` with {part} where they differ.

    Each holds JPEG streams end to end in `bytes`, their n + 1 limits in `offset`, labels in `y`.
    """
    name = Path(path.replace("{part}", "train" if train else "test"))
    if not name.is_file():
        raise ConfigError(f"data.path = {path!r}: dataset jpeg-npz needs {name}")
    with np.load(name) as arrays:
        raw, limits, labels = arrays["bytes"].tobytes(), arrays["offset"], arrays["y"]
    images = [_decode(io.BytesIO(raw[a:b])) for a, b in zip(limits[:-1], limits[1:])]
    return np.stack(images), labels


def _folder(path, train):
    """Images of one size below `path`; sub-folders, in order of name, are the classes.

    Every tenth image (in order of name) is held out.
    """
    kinds = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
    files = sorted(f for f in Path(path).rglob("*") if f.suffix.lower() in kinds) if path else []
    if len(files) < 10:
        raise ConfigError(f"data.path = {path!r}: dataset folder needs a folder with at least"
                          " ten images")
    folders = sorted({f.parent for f in files})
    chosen = [f for i, f in enumerate(files) if (i % 10 == 9) != train]
    images = [_decode(f) for f in chosen]
    for image, file in zip(images, chosen):
        if image.shape != images[0].shape:
            raise ConfigError(f"{file}: shape {image.shape}, but {chosen[0]} has"
                              f" {images[0].shape}; all must agree")
    return np.stack(images), np.array([folders.index(f.parent) for f in chosen])


def _decode(source):
    """An image file -> uint8 [c, h, w], grey or RGB."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError("image files need Pillow: pip install pillow") from error
    with Image.open(source) as image:
        pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _idx(path):
    """An idx file: two zero bytes, type 8 (uint8), rank, big-endian sizes, data."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    if raw[:3] != b"\0\0\x08" or not 1 <= rank <= 4:
        raise ConfigError(f"{path}: not an idx file of bytes")
    shape = np.frombuffer(raw, ">u4", rank, 4)
    if len(raw) != 4 + 4 * rank + int(np.prod(shape)):
        raise ConfigError(f"{path}: length does not fit its header")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


class Order:
    """The order of training images: a fresh permutation per epoch, known from (seed, epoch)."""

    def __init__(self, count, seed):
        self.count, self.seed, self.epoch, self.permutation = count, seed, -1, None

    def batch(self, start, n):
        """Indices [n] of the images number start, start+1, ... ever shown."""
        parts = []
        while n > 0:
            epoch, offset = divmod(start, self.count)
            if epoch != self.epoch:
                draws = generator(self.seed, "order", epoch)
                self.permutation = torch.randperm(self.count, generator=draws)
                self.epoch = epoch
            part = self.permutation[offset:offset + n]
            parts.append(part)
            start, n = start + len(part), n - len(part)
        return torch.cat(parts)
