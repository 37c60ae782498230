"""Parts of scripts/times_table.py (held-out images, nearest images, start states, the table that goes on) and of
scripts/trained_times.py."""

import csv
import json
import sys

import numpy as np
import pytest


@pytest.fixture(scope="module")
def times(root):
    sys.path.insert(0, str(root / "scripts"))
    import times_table
    yield times_table
    sys.path.remove(str(root / "scripts"))


def test_split(times):
    labels = np.random.default_rng(0).permutation(np.arange(200) % 10)
    held_out, rest = times.split(labels, 34)
    assert np.array_equal(labels[held_out], np.arange(34) % 10)
    assert sorted([*held_out, *rest]) == list(range(200))
    for c in range(10):  # the first ones of each class
        assert held_out[labels[held_out] == c].max() < rest[labels[rest] == c].min()


def test_nearest(times):
    """Against all differences; a copy is at 0 exactly."""
    y = np.random.default_rng(1).normal(size=(300, 20)).astype(np.float32)
    x = y[:70] + np.linspace(0, 1, 70, dtype=np.float32)[:, None] ** 2 * y[70:140]
    expected = np.sqrt(((x[:, None].astype(float) - y) ** 2).mean(axis=2).min(axis=1))
    assert np.allclose(times.nearest(x, y, block=32), expected, atol=1e-6)
    assert times.nearest(x, y)[0] == 0


def test_state_factors(times, run, model, tmp_path):
    """a and b of the start are those that the program records."""
    for t in (0.2, 1):
        done = run("sample", model, "-n", 1, "--nfe", 1, "--t-start", t, "--json", "-", "-o", "x.npy", "-q")
        start = times.json.loads(done.stdout)["start"]
        assert times.state_factors(model, t) == pytest.approx((start["a"], start["b"]), rel=1e-12)


def test_table_goes_on(times, tmp_path):
    """Finished cells are not done again, small budgets come first, and the priors alone before all."""
    def table():
        arguments = times.parse(["-o", str(tmp_path), "--nfe", "10,3", "--times", "0.4,1", "--starts", "images,noise"])
        return times.Table(tmp_path, "times.csv", times.FIELDS, times.cells_of(arguments), times.KEY, owner)

    owner = {"model": "m", "network": "1"}
    first = table()
    assert first.cells[0] == ("images", "0", "alone", 0)
    assert [cell[3] for cell in first.cells] == [0] + 8 * [3] + 8 * [10] and first.cost(5) == 5 * 8 * 13
    first.add(first.cells[0], spent=0, samples=5)
    first.add(first.cells[1], note="no, never")
    later = table()
    assert later.cells == first.cells[2:]
    owner = {"model": "m", "network": "2"}  # another network: all anew, in the same file
    other = table()
    assert other.cells == first.cells
    other.add(other.cells[1], spent=7)
    with open(tmp_path / "times.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], row["spent"], row["note"]) for row in rows] == [("1", "0", ""), ("1", "", "no, never"), ("2", "7", "")]


def test_other_columns_are_refused(times, tmp_path):
    """What was written before tables told their network."""
    (tmp_path / "times.csv").write_text("start,note\nnoise,\n")
    with pytest.raises(SystemExit, match="has the columns start,note, not model,network,start"):
        times.Table(tmp_path, "times.csv", [], [], ("start",), {"model": "m", "network": "1"})


@pytest.mark.parametrize("words", [["--starts", "nothing"], ["--times", "0.45"]])
def test_refusals(times, words):
    with pytest.raises(SystemExit):
        times.parse(words)


def test_alone(times, root, monkeypatch, tmp_path):
    """Every start of a prior has one that can be fitted, and every start is told to the program."""
    bench = times.Bench.__new__(times.Bench)
    bench.model, bench.held_out = root / "models/fashion-vp", np.full((2, 1, 28, 28), 255, np.uint8)
    monkeypatch.setattr(bench, "prior", lambda name: f"{name}.npz" if name in times.PRIORS else None, raising=False)
    assert bench.begin("noise", "0.4", tmp_path) == []
    assert bench.begin("flow", "0.4", tmp_path) == ["--prior", "gauss.npz", "--prior-map", "flow"]
    assert bench.begin("mixture", "0.4", tmp_path) == ["--prior", "mixture.npz"]
    name, path = bench.begin("images", "0.2", tmp_path)
    states, (a, b) = np.load(path), times.state_factors(bench.model, 0.2)
    assert name == "--init" and abs(states.mean() - a) < 5 * b / 40 and abs(states.std() - b) < 5 * b / 50


# ---- networks trained for short times -----------------------------------------------------------


@pytest.fixture(scope="module")
def trained(times):
    import trained_times
    return trained_times


def network(tmp_path, folder, name, images, t_max):
    (tmp_path / folder).mkdir()
    card = {"name": name, "t_max": t_max, "training": f"7 steps, {images} images seen, averaged weights"}
    (tmp_path / folder / "model.json").write_text(json.dumps(card))
    return tmp_path / folder


def test_networks_are_compared_where_they_were_trained(trained, tmp_path):
    folders = [network(tmp_path, *row) for row in (("b", "fashion-vp", 2000, 1.0), ("a", "fashion-t03", 1000, 0.3),
                                                   ("c", "fashion-t05", 1000, 0.5))]
    found = trained.cells_of(folders, 20)
    assert [cell[:4] for cell in found] == [
        (name, images, t, start) for name, images, times in (("fashion-t03", "1000", ["0.3"]),
                                                             ("fashion-t05", "1000", ["0.3", "0.5"]),
                                                             ("fashion-vp", "2000", ["0.3", "0.5"]))
        for t in times for start in ("mixture", "images")]
    assert found["fashion-vp", "2000", "0.5", "images", "deis:order=3", 20] == folders[0]


def test_cards_that_tell_no_images_are_refused(trained, tmp_path):
    folder = network(tmp_path, "a", "fashion-vp", 10, 1.0)
    (folder / "model.json").write_text('{"name": "x", "t_max": 1}')
    with pytest.raises(SystemExit, match="images"):
        trained.cells_of([folder], 20)
