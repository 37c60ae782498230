"""driftless times: curves of a mixture and of the shipped model, every output, interruption, refusals."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest


@pytest.fixture
def mixture(root):
    return f"mixture:{root}/tests/data/mixture2d.json"


@pytest.fixture
def points(tmp_path):
    """Samples of that mixture, float64 [400][2], and priors fitted to others: one good, one bare."""
    random = np.random.default_rng(1)
    means = np.array([[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]])
    stds = np.array([[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]])

    def draw(n):
        k = random.choice(3, n, p=[0.5, 0.3, 0.2])
        return means[k] + stds[k] * random.standard_normal((n, 2))

    np.save(tmp_path / "x.npy", draw(400))
    np.save(tmp_path / "fit.npy", draw(3000))
    return "x.npy"


@pytest.fixture
def prior(run, points):
    run("prior", "fit", "fit.npy", "--kind", "full", "-k", 3, "--restarts", 1, "-o", "p.npz", "-q")
    return "p.npz"


def record(done):
    return json.loads(done.stdout)


def totals(archive):
    """[start][image][time] of path and mismatch, from the numbers of the output."""
    t, loss, mismatch = archive["times"], archive["loss"], archive["mismatch"]
    B = 0.1 * t + 9.95 * t * t
    depth = np.log(np.expm1(B)) / 2
    steps = (loss[:, 1:] + loss[:, :-1]) / 2 * np.diff(depth)
    path = np.concatenate([np.zeros((len(loss), 1)), np.cumsum(steps, 1)], 1)
    return path + mismatch


def test_outputs_agree(run, mixture, points, prior, tmp_path):
    """Table, CSV, JSON and archive tell the same; the rule is done again in NumPy."""
    files = ["-o", "t.npz", "--csv", "t.csv", "--json", "t.json"]
    done = run("times", mixture, points, "-n", 200, "--prior", f"{prior},{prior}", "--points", 30,
               "--bootstrap", 50, *files)
    assert done.stderr == "driftless: 6000 evaluations: 200 images at 30 times; 48000 log-densities of priors\n"
    assert max(map(len, done.stdout.splitlines())) <= 80
    said = json.loads((tmp_path / "t.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    archive = np.load(tmp_path / "t.npz")
    assert sorted(archive.files) == ["decoder", "loss", "mismatch", "times"]
    assert archive["loss"].shape == (200, 30) and archive["mismatch"].shape == (3, 200, 30)
    assert said["images"] == 200 and said["evaluations"] == 6000
    assert [c["start"] for c in said["curves"]] == ["N(0, I)", prior, prior]
    assert said["curves"][1]["kind"] == "full"
    same = [{k: v for k, v in c.items()} for c in said["curves"][1:]]
    assert same[0] == same[1]
    every = totals(archive)
    for k, curve in enumerate(said["curves"]):
        mean = every[k].mean(0)
        least = int(mean.argmin())
        above = every[k] - every[k][:, [least]]
        error = above.std(0, ddof=1) / np.sqrt(200)
        chosen = least
        while chosen > 0 and above.mean(0)[chosen - 1] <= error[chosen - 1]:
            chosen -= 1
        assert curve["recommended"] == archive["times"][chosen] == curve["within_one_se"][0]
        low, high = max(least - 1, 0), min(least + 1, 29)
        assert archive["times"][low] <= curve["least"] <= archive["times"][high]
        assert curve["least_interval"][0] <= curve["least_interval"][1] and curve["least_se"] > 0
        gain = every[k][:, -1] - every[k][:, chosen]
        assert np.isclose(curve["gain_over_last"]["mean"], gain.mean(), atol=1e-9)
        assert np.isclose(curve["gain_over_last"]["se"], gain.std(ddof=1) / np.sqrt(200), atol=1e-9)
        for j, point in enumerate(curve["points"]):
            row = rows[30 * k + j]
            assert float(row["T"]) == point["T"] == archive["times"][j]
            assert float(row["total"]) == point["total"]["mean"]
            assert row["chosen"] == str(int(j == chosen)) and row["least"] == str(int(j == least))
            assert np.isclose(point["above"]["mean"], above.mean(0)[j], atol=1e-9)
            assert np.isclose(point["above"]["se"], error[j], atol=1e-9)
            total = mean[j] + archive["decoder"].mean()
            assert np.isclose(point["total"]["mean"], total, atol=1e-9)
            assert np.isclose(point["bits_per_dim"], total / (2 * np.log(2)), atol=1e-9)
    # a good prior lets the run begin far below where noise does
    assert said["curves"][1]["recommended"] < said["curves"][0]["recommended"] - 0.1
    assert "N(0, I): begin at T" in done.stdout and done.stdout.count(f"{prior}: begin at T") == 2


def test_to_standard_output(run, mixture, points):
    short = ["times", mixture, points, "-n", 10, "--times", "0.9,0.01,0.5", "-q"]
    said = record(run(*short, "--json", "-"))
    assert [p["T"] for p in said["curves"][0]["points"]] == [0.01, 0.5, 0.9]
    rows = run(*short, "--csv", "-").stdout.splitlines()
    assert len(rows) == 4 and rows[1].startswith('"N(0, I)",0.01,')
    assert run(*short).stdout == ""
    assert record(run(*short, "--bootstrap", 0, "--json", "-"))["curves"][0]["least_se"] is None


@pytest.mark.parametrize("ending, begins", [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_plot(run, mixture, points, prior, tmp_path, ending, begins):
    run("times", mixture, points, "-n", 20, "--points", 8, "--prior", prior, "--plot", f"p.{ending}", "-q")
    made = (tmp_path / f"p.{ending}").read_bytes()
    assert made.startswith(begins) and len(made) > 3000
    if ending == "svg":
        assert b"p.npz" in made and b"N(0, I)" in made
    assert not [name for name in os.listdir(tmp_path) if ".new" in name]


@pytest.mark.skipif(not shutil.which("gnuplot"), reason="no gnuplot")
def test_plot_of_an_odd_name(run, mixture, points, tmp_path):
    """A leading dash is no option of gnuplot's, a leading bar no command; of a line end a warning tells."""
    for name in "-p.svg", "|touch gone;.svg":
        run("times", mixture, points, "-n", 20, "--points", 4, "--plot", name, "-q")
        assert (tmp_path / name).read_bytes().startswith(b"<?xml")
    before = sorted(tmp_path.iterdir())
    done = run("times", mixture, points, "-n", 20, "--points", 4, "--plot", "a\nb.svg", "-q")
    assert "takes no path with a line end" in done.stderr and sorted(tmp_path.iterdir()) == before


def test_without_gnuplot(run, mixture, points, tmp_path):
    done = run("times", mixture, points, "-n", 20, "--points", 4, "--plot", "p.svg",
               env={**os.environ, "PATH": str(tmp_path)})
    assert "no plot: gnuplot is not installed" in done.stderr and not (tmp_path / "p.svg").exists()
    assert "begin at T" in done.stdout


def test_shipped_model(run, model, tmp_path):
    """A small prior of noise and few images: the sums are right, batches do not matter."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "fit.npy", random.normal(-0.43, 0.7, (200, 1, 28, 28)))
    run("prior", "fit", "fit.npy", "--kind", "diag", "-k", 1, "--restarts", 1, "-o", "p.npz", "-q")
    common = ["times", model, "x.npy", "--points", 4, "--prior", "p.npz", "--threads", 1, "-q"]
    run(*common, "-o", "a.npz")
    run(*common, "-o", "b.npz", "--batch", 2, "--class", "null")
    a, b = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    assert not (tmp_path / "a.npz.part").exists()
    for key in a.files:
        assert np.allclose(a[key], b[key], rtol=1e-5), key
    x = images.reshape(6, 784) / 127.5 - 1
    B = 0.1 * a["times"] + 9.95 * a["times"] ** 2
    a2, b2 = np.exp(-B), -np.expm1(-B)
    plain = (a2 * (x ** 2).sum(1)[:, None] + 784 * (b2 - 1 - np.log(b2))) / 2
    assert np.allclose(a["mismatch"][0], plain, rtol=1e-9)
    assert (a["decoder"] > 100).all()
    np.save(tmp_path / "labels.npy", np.array([0, 1, 2, 3, 4, 5]))
    run(*common, "-o", "c.npz", "--labels", "labels.npy")
    assert not np.allclose(np.load(tmp_path / "c.npz")["loss"], a["loss"], rtol=1e-3)


def test_interrupted_is_uninterrupted(run, program, mixture, points, prior, tmp_path):
    random = np.random.default_rng(2)
    np.save(tmp_path / "many.npy", random.standard_normal((120000, 2)))
    command = ["times", mixture, "many.npy", "-n", "120000", "--prior", prior, "--bootstrap", "5"]
    child = subprocess.Popen([program, *command, "-o", "part.npz", "--batch", "50"], cwd=tmp_path,
                             stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    time.sleep(1.0)
    child.send_signal(signal.SIGINT)
    said = child.communicate()[1]
    assert child.returncode == 130 and "the same command goes on from there" in said
    part = tmp_path / "part.npz.part"
    assert len(np.load(part)["loss"]) > 0 and not (tmp_path / "part.npz").exists()
    other = run(*command, "--seed", 1, "-o", "part.npz", ok=False)
    assert other.returncode == 2 and "other data, priors or settings" in other.stderr
    run(*command, "-o", "part.npz", "-q")
    run(*command, "-o", "whole.npz", "-q", "--batch", 7)
    a, b = np.load(tmp_path / "part.npz"), np.load(tmp_path / "whole.npz")
    assert not part.exists() and a.files == b.files
    for key in a.files:
        assert np.array_equal(a[key], b[key])


def test_interrupted_without_output(run, program, mixture, tmp_path):
    np.save(tmp_path / "many.npy", np.zeros((800000, 2)) + 0.5)
    child = subprocess.Popen([program, "times", mixture, "many.npy", "-n", "800000"], cwd=tmp_path,
                             stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(1.0)
    child.send_signal(signal.SIGINT)
    out, said = child.communicate()
    assert child.returncode == 130 and out == "" and "with -o, a run can be continued" in said


def test_bad_part(run, mixture, points, tmp_path):
    for bad in (b"", b"PK\x03\x04", b"x" * 1000):
        (tmp_path / "t.npz.part").write_bytes(bad)
        done = run("times", mixture, points, "-n", 10, "--points", 3, "-o", "t.npz", "-q", ok=False)
        assert "t.npz.part" in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / "t.npz").exists()


@pytest.mark.parametrize("more, says", [
    (["-o", "t.npy"], "must end in .npz"),
    (["--plot", "t.pdf"], ".svg or .png"),
    (["--csv", "a", "--json", "a"], "already another output"),
    (["-o", "none/t.npz"], "none"),
    (["--json", "none/t.json"], "none"),
    (["--times", "0.1,0.5"], "2 times"),
    (["--times", "0.1,0.5,0.5,0.7"], "twice"),
    (["--times", "0.1,0.5,oops"], "list of numbers"),
    (["--times", "0.1,0.5,1.5"], "times"),
    (["--times", "[0.1]"], "list of numbers"),
    (["--times", "0.1,,0.5"], "times"),
    (["--times", "0.1,0.5,0.7", "--points", 9], "whole grid"),
    (["--t-start", 0], "signal and noise"),
    (["--t-end", 0.5, "--t-start", 0.4], "below t_start"),
    (["--points", 2], "points"),
    (["-n", 1], "from 2 to"),
    (["-n", 401], "there are 400"),
    (["--first", 400], "end at image 399"),
    (["--class", "3"], "no classes"),
    (["--labels", "x.npy", "--class", "1"], "contradict"),
    (["--process", "psld"], "phase space"),
    (["--guidance", 2], "guidance"),
])
def test_refusals(run, mixture, points, tmp_path, more, says):
    done = run("times", mixture, points, *more, ok=False)
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert done.returncode in (1, 2)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("t.")]


def test_refused_priors(run, mixture, points, prior, tmp_path):
    np.save(tmp_path / "wide.npy", np.random.default_rng(3).normal(1, 0.2, (300, 4)))
    run("prior", "fit", "wide.npy", "--kind", "gauss", "-q", "-o", "wide.npz")
    run("prior", "fit", "fit.npy", "--kind", "gauss", "-q", "-o", "at.npz", "--at", 0.2)
    for name, says in (("none.npz", "none.npz"), ("x.npy", "x.npy"), (f"{prior},", "no file between commas"),
                       (f"{prior},at.npz", "fitted to clean data"), ("wide.npz", "4 numbers"),
                       (",".join([prior] * 17), "at most 16")):
        done = run("times", mixture, points, "--prior", name, "-o", "t.npz", ok=False)
        assert says in done.stderr and done.stderr.count("\n") == 1 and done.returncode in (1, 2)
        assert not [name for name in os.listdir(tmp_path) if name.startswith("t.")]


@pytest.mark.parametrize("array, says", [
    (np.zeros(4), "dimensions"),
    (np.zeros((2, 5)), "5 numbers"),
    (np.full((2, 2), np.nan), "not finite"),
    (np.zeros((2, 2), np.int64), "uint8"),
])
def test_bad_data(run, mixture, tmp_path, array, says):
    np.save(tmp_path / "bad.npy", array)
    done = run("times", mixture, "bad.npy", ok=False)
    assert says in done.stderr and done.stderr.count("\n") == 1


def test_other_scale(run, model, tmp_path):
    """A prior of data in [0, 1] is not one for a model of data in [-1, 1]."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", random.integers(0, 256, (4, 28, 28), dtype=np.uint8))
    np.save(tmp_path / "fit.npy", random.uniform(0, 1, (200, 1, 28, 28)))
    run("prior", "fit", "fit.npy", "--kind", "diag", "-k", 1, "--restarts", 1, "-o", "p.npz", "-q")
    done = run("times", model, "x.npy", "--prior", "p.npz", "--points", 3, ok=False)
    assert done.returncode == 2 and "scale them as the model's" in done.stderr
