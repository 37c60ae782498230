"""Makes tests/data/fashion-features.npz, the statistics that tests/py/fashion.py compares with.

    fashion_features.py [FOLDER] DATA_FOLDER

FOLDER holds t10k-images-idx3-ubyte.gz of Fashion-MNIST (MIT licence); by default that of Debian's
package dataset-fashion-mnist, /usr/share/datasets/fashion-mnist. Only means, directions and
covariances of the 10 000 test images are stored, and the distances of 200 random sets of 64 of them.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "py"))
from fashion import COMPONENTS, COUNT, distance, features, raw_features  # noqa: E402


def main():
    source = Path(sys.argv[1] if len(sys.argv) > 2 else "/usr/share/datasets/fashion-mnist")
    raw = gzip.decompress((source / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28) / 127.5 - 1
    pooled, texture = raw_features(images)
    centre = pooled.mean(axis=0)
    basis = np.linalg.eigh(np.cov(pooled.T))[1][:, ::-1][:, :COMPONENTS]
    both = np.concatenate([(pooled - centre) @ basis, texture], axis=1)
    reference = {"centre": centre, "basis": basis, "mean": both.mean(axis=0),
                 "spread": both.std(axis=0)}
    reference["covariance"] = np.cov(features(images, reference).T)
    generator = np.random.default_rng(0)
    sets = [generator.choice(len(images), COUNT, replace=False) for _ in range(200)]
    reference["real"] = np.array([distance(images[s], reference) for s in sets])
    np.savez_compressed(Path(sys.argv[-1]) / "fashion-features.npz", **reference)


if __name__ == "__main__":
    main()
