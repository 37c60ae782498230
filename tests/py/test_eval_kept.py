"""driftless eval: what is kept belongs to the pictures it was made of, and to no others; metrics that these do
not allow take nothing from the rest."""

import json

import numpy as np
import pytest
from test_eval import make_model, pictures, png  # noqa: F401, a fixture

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


@pytest.fixture
def evaluated(run, tmp_path):
    """evaluated(generated, reference, *options): the record of all metrics, by pixels; arrays a.npy and b.npy."""

    def call(generated, reference, *options):
        np.save(tmp_path / "a.npy", generated)
        np.save(tmp_path / "b.npy", reference)
        run("eval", "a.npy", "--ref", "b.npy", "--features", "pixels", "--json", "r.json", "-q", *options)
        return json.loads((tmp_path / "r.json").read_text())

    return call


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


def test_few_samples(run, tmp_path, evaluated):
    """What three pictures do not allow is left out and told, or refused at once where it is asked for."""
    record = evaluated(pictures(3, side=4), pictures(60, side=4), "-o", "s.npz")
    assert set(record["metrics"]) == {"fid", "kid", "sliced_wasserstein", "mmd_squared"} and (tmp_path / "s.npz").exists()
    for key in "pr", "dc":
        assert f"{key} cannot be had: GENERATED has 3 samples, and 6 are needed." in record["notes"]
    done = run("eval", "b.npy", "--ref", "a.npy", "--features", "pixels", "-m", "fid,pr", "-o", "t.npz", ok=False)
    assert done.returncode == USAGE and not list(tmp_path.glob("t.npz*"))
    assert "--metrics: pr cannot be had: the reference has 3 samples, and 6 are needed" in done.stderr
    np.save(tmp_path / "a.npy", pictures(1, side=4))
    done = run("eval", "a.npy", "--ref", "b.npy", "--features", "pixels", ok=False)
    assert "no metric can be had: fid cannot be had: GENERATED has 1 sample, and 2 are needed" in done.stderr
    run("eval", "a.npy", "--ref", "b.npy", "--features", "pixels", "-o", "one.npz", "-q")
    done = run("eval", "one.npz", "--ref", "b.npy", "--features", "pixels", "-m", "fid", ok=False)
    assert "--metrics: fid cannot be had: GENERATED has 1 sample, and 2 are needed" in done.stderr


def test_pictures_that_are_all_alike(run, tmp_path, evaluated):
    record = evaluated(np.zeros((30, 4, 4), np.uint8), np.zeros((40, 4, 4), np.uint8), "-o", "s.npz")
    assert len(record["metrics"]) == 7 and record["metrics"]["fid"]["value"] == 0 and (tmp_path / "s.npz").exists()
    words = "mmd cannot be had: the median distance between samples, MMD's bandwidth, is zero"
    assert any(note.startswith(words) for note in record["notes"])
    done = run("eval", "a.npy", "--ref", "b.npy", "--features", "pixels", "-m", "mmd", ok=False)
    assert done.returncode == USAGE and words in done.stderr


def test_samples_of_another_card(run, tmp_path, make_model):
    """The network is the same; a text may change, what tells how it is asked and shown may not."""
    model = make_model(6)
    path = tmp_path / "model/model.json"
    card = json.loads(path.read_text())
    words = ["eval", model, "-n", 20, "--nfe", 1, "--solver", "ddim", "--features", "pixels", "-o", "s.npz"]
    run(*words)
    path.write_text(json.dumps(card | {"license": "MIT"}))
    run(*words)
    path.write_text(json.dumps(card | {"sample": card["sample"] | {"range": [-3, 1]}}))
    done = run(*words, ok=False)
    assert done.returncode == USAGE and "s.npz holds statistics of something else" in done.stderr
