"""driftless eval: what is kept belongs to the pictures it was made of, and to no others."""

import json

import numpy as np
import pytest
from test_eval import pictures, png

USAGE = 2


@pytest.fixture
def fid(run, tmp_path):
    """fid(generated, *options): its value, by pixels against b.npy."""

    def call(generated, *options):
        run("eval", generated, "--ref", "b.npy", "--features", "pixels", "-m", "fid", "--json", "r.json", "-q", *options)
        return json.loads((tmp_path / "r.json").read_text())["metrics"]["fid"]["value"]

    return call


@pytest.fixture
def floats(tmp_path):
    """a.npy and b.npy: pictures of 4 x 4 numbers, -1 to 1."""
    generator = np.random.default_rng(0)
    for name, n in (("a", 40), ("b", 60)):
        np.save(tmp_path / f"{name}.npy", generator.uniform(-1, 1, (n, 4, 4)).astype(np.float32))


def test_range(run, fid, floats, tmp_path):
    """The same numbers are other pictures in another range; bytes know none."""
    fid("a.npy", "-o", "s.npz")
    done = run("eval", "a.npy", "-o", "s.npz", "--features", "pixels", "--range", "0,1", ok=False)
    assert done.returncode == USAGE and "s.npz holds statistics of something else" in done.stderr
    assert fid("a.npy", "-o", "t.npz", "--range", "0,1") == fid("a.npy", "--range", "0,1")
    np.save(tmp_path / "u.npy", np.zeros((40, 4, 4), np.uint8))
    assert fid("u.npy", "-o", "u.npz") == fid("u.npy", "-o", "u.npz", "--range", "-1,1")


def test_folder(run, fid, floats, tmp_path):
    """More pictures of a folder are added to those before; another folder's are refused, whose files
    have the same names and sizes."""
    (tmp_path / "f").mkdir()
    for i, picture in enumerate(pictures(700, side=4)):
        png(tmp_path / f"f/{i:03}.png", picture)
    run("eval", "f", "--features", "pixels", "-n", 600, "-o", "s.npz", "-q")
    fid("f", "-o", "s.npz")
    fid("f", "-o", "t.npz")
    assert (tmp_path / "s.npz").read_bytes() == (tmp_path / "t.npz").read_bytes()
    data = [(path, path.read_bytes()) for path in (tmp_path / "f/000.png", tmp_path / "f/001.png")]
    for (path, _), (_, other) in zip(data, reversed(data)):
        path.write_bytes(other)
    done = run("eval", "f", "-o", "s.npz", "--features", "pixels", ok=False)
    assert done.returncode == USAGE and "s.npz holds statistics of something else" in done.stderr
