"""driftless prior: fitting, judging, drawing and evaluating auxiliary densities from the command line."""

import gzip
import signal
import subprocess
import time

import numpy as np
import pytest


@pytest.fixture(scope="module")
def data():
    """Two clusters in four dimensions, in no order, and which is which."""
    rng = np.random.default_rng(0)
    which = (rng.uniform(size=900) < 0.4).astype(np.int64)
    means = np.array([[0.9, -0.5, 0.2, 0.6], [-0.7, 0.4, -0.6, -0.2]])
    return (means[which] + 0.2 * rng.normal(size=(900, 4))).astype(np.float32), which


@pytest.fixture
def files(data, tmp_path):
    np.save(tmp_path / "x.npy", data[0])
    np.save(tmp_path / "labels.npy", data[1])
    return tmp_path


def fit(run, *options, **keywords):
    return run("prior", "fit", "x.npy", "-o", "p.npz", *options, **keywords)


@pytest.mark.parametrize("kind, arrays", [
    ("gauss", {"covariances": (1, 4, 4)}),
    ("diag", {"variances": (2, 4)}),
    ("full", {"covariances": (2, 4, 4)}),
    ("tied", {"covariances": (1, 4, 4)}),
    ("pcagmm", {"covariances": (2, 2, 2), "basis": (4, 4), "center": (4,), "rest": (2,)}),
    ("ppca", {"factors": (2, 4, 2), "variances": (2, 4)}),
    ("fa", {"factors": (2, 4, 2), "variances": (2, 4)}),
])
def test_kinds_and_their_files(run, files, kind, arrays):
    options = [] if kind == "gauss" else ["-k", 2]
    options += ["--rank", 2] if kind in ("pcagmm", "ppca", "fa") else []
    said = fit(run, "--kind", kind, *options).stdout
    assert f"{kind}, {1 if kind == 'gauss' else 2} component" in said
    held = float(said.split("held out:")[1].split()[0])
    assert held > (-3 if kind == "gauss" else 0 if kind != "pcagmm" else -2)
    with np.load(files / "p.npz") as p:
        own = {"format", "kind", "state", "shape", "gate", "weights", "means"}
        assert set(p.files) == own | set(arrays)
        assert bytes(p["format"]) == b"driftless-prior/1" and bytes(p["kind"]) == kind.encode()
        assert p["state"].tolist() == [1, 0] and p["shape"].tolist() == [4]
        assert {name: p[name].shape for name in arrays} == arrays
        assert p["gate"].shape == (3, 4) and abs(p["weights"].sum() - 1) < 1e-12
    told = run("prior", "info", "p.npz").stdout
    assert "clean data" in told and told.count("passed") + told.count("failed") == 3


def mixture_logp(p, x, a, b):
    """Density of a x_0 + b n for kind full, written down with numpy."""
    each = []
    for w, m, s in zip(p["weights"], p["means"], p["covariances"]):
        s = a * a * s + b * b * np.eye(len(s))
        off = x - a * m
        each.append(np.log(w) - 0.5 * (np.einsum("ni,ij,nj->n", off, np.linalg.inv(s), off)
                                       + np.linalg.slogdet(2 * np.pi * s)[1]))
    return np.logaddexp.reduce(each)


def test_logp_and_samples_at_a_time(run, files, data):
    fit(run, "--kind", "full", "-k", 2)
    t = 0.3
    a = np.exp(-(0.1 * t + 9.95 * t * t) / 2)
    b = np.sqrt(1 - a * a)
    run("prior", "sample", "p.npz", "--t-start", t, "-n", 4000, "-s", 3, "-o", "start.npy")
    x = np.load(files / "start.npy")
    assert x.dtype == np.float32 and x.shape == (4000, 4)
    said = run("prior", "logp", "p.npz", "start.npy", "--t-start", t, "-o", "logp.npy").stdout
    logp = np.load(files / "logp.npy")
    with np.load(files / "p.npz") as p:
        want = mixture_logp(p, x.astype(float), a, b)
        mean = a * p["weights"] @ p["means"]
    assert np.abs(logp - want).max() < 1e-9
    assert abs(float(said.split()[2]) - want.mean()) < 1e-5
    gain = want + 0.5 * (x.astype(float) ** 2).sum(1) + 2 * np.log(2 * np.pi)
    line = said.splitlines()[1].split()
    assert abs(float(line[4]) - gain.mean()) < 1e-5
    assert abs(float(line[8].strip(":")) - gain.std(ddof=1) / np.sqrt(4000)) < 1e-5
    assert np.abs(x.mean(0) - mean).max() < 4 / np.sqrt(4000)
    run("prior", "sample", "p.npz", "--t-start", t, "-n", 5, "--first", 17, "-s", 3, "-o", "some.npy")
    assert (np.load(files / "some.npy") == x[17:22]).all()
    noised = run("prior", "logp", "p.npz", "x.npy", "--t-start", t, "--noised").stdout
    assert abs(float(noised.split()[2]) - want.mean()) < 0.3


def test_classes(run, files, data):
    fit(run, "--kind", "gauss", "--labels", "labels.npy", "--gate", "0.1")
    assert "classes: 2" in run("prior", "info", "p.npz").stdout
    run("prior", "sample", "p.npz", "--label", 1, "-n", 500, "-o", "one.npy")
    run("prior", "sample", "p.npz", "-n", 500, "-o", "all.npy")
    one, both = np.load(files / "one.npy"), np.load(files / "all.npy")
    assert np.abs(one.mean(0) - data[0][data[1] == 1].mean(0)).max() < 0.06
    assert 0.3 < (both[:, 0] < 0.1).mean() < 0.5
    refused = run("prior", "sample", "p.npz", "--label", 2, "-o", "x2.npy", ok=False)
    assert refused.returncode == 2 and "classes 0 to 1" in refused.stderr


def test_gate_rejects_noise(run, files):
    np.save(files / "x.npy", np.random.default_rng(1).normal(size=(2000, 4)).astype(np.float32))
    for kind in ("gauss", "full", "diag"):
        few = ["-k", 3, "--restarts", 1, "--iterations", 30] if kind != "gauss" else []
        done = fit(run, "--kind", kind, *few, ok=False)
        assert done.returncode == 1 and "the gate rejects this prior" in done.stderr
        assert done.stdout.count("failed") == 3 and not (files / "p.npz").exists()


def test_fit_at_a_time_is_good_there_only(run, files):
    fit(run, "--kind", "full", "-k", 2, "--at", 0.2, "--iterations", 30, "--restarts", 1)
    with np.load(files / "p.npz") as p:
        state = p["state"]
        assert np.linalg.eigvalsh(p["covariances"]).min() >= state[1] ** 2 * (1 - 1e-9)
    run("prior", "sample", "p.npz", "--t-start", 0.2, "-o", "s.npy")
    refused = run("prior", "sample", "p.npz", "--t-start", 0.3, "-o", "s.npy", ok=False)
    assert refused.returncode == 2 and "good there only" in refused.stderr
    # samples that are already at T are not noised again
    run("prior", "sample", "p.npz", "-n", 3000, "-o", "x.npy")
    run("prior", "from-samples", "x.npy", "--at", 0.2, "--kind", "full", "-k", 2, "-o", "q.npz",
        "--restarts", 1)
    with np.load(files / "p.npz") as p, np.load(files / "q.npz") as q:
        order = np.argsort(p["means"][:, 0]), np.argsort(q["means"][:, 0])
        assert np.abs(p["means"][order[0]] - q["means"][order[1]]).max() < 0.1
        assert (p["state"] == q["state"]).all()


def test_dirichlet_process_drops_what_it_does_not_need(run, files):
    fit(run, "--kind", "full", "-k", 8, "--inference", "dp", "--concentration", 0.01)
    with np.load(files / "p.npz") as p:
        assert (p["weights"] >= 1e-4).all() and np.sort(p["weights"])[-2:].sum() > 0.95


def test_pictures_of_bytes(run, files):
    """idx, gzipped idx and .npy of bytes give the same prior, in the range -1 to 1, channels first."""
    rng = np.random.default_rng(2)
    x = np.clip(rng.normal(128, 30, size=(300, 3, 2)), 0, 255).astype(np.uint8)
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in x.shape)
    (files / "x.idx").write_bytes(head + x.tobytes())
    with gzip.open(files / "x.idx.gz", "wb") as f:
        f.write(head + x.tobytes())
    np.save(files / "x8.npy", x[..., None])
    outputs = []
    for name in ("x.idx", "x.idx.gz", "x8.npy"):
        run("prior", "fit", name, "--kind", "diag", "-k", 1, "-o", f"{name}.npz", "-q")
        with np.load(files / f"{name}.npz") as p:
            outputs.append({key: p[key] for key in p.files})
    for other in outputs[1:]:
        assert all((outputs[0][key] == other[key]).all() for key in outputs[0])
    assert outputs[0]["shape"].tolist() == [1, 3, 2]
    assert np.abs(outputs[0]["means"] - (x.mean(0) / 127.5 - 1).ravel()).max() < 0.02
    colour = np.stack([x, x // 2, x // 4], -1)
    np.save(files / "c.npy", colour)
    run("prior", "fit", "c.npy", "--kind", "diag", "-k", 1, "-o", "c.npz", "-q")
    with np.load(files / "c.npz") as p:
        assert p["shape"].tolist() == [3, 3, 2]
        assert np.abs(p["means"].reshape(3, 6)[0] - outputs[0]["means"]).max() < 1e-12
    (files / "cut.idx").write_bytes(head + x.tobytes()[:-1])
    done = run("prior", "fit", "cut.idx", "-o", "cut.npz", ok=False)
    assert done.returncode == 1 and "cut off" in done.stderr


@pytest.mark.parametrize("options, words", [
    (["--rank", 4], "rank 4"),
    (["--kind", "full", "--rank", 2], "--rank goes with"),
    (["--kind", "gauss", "-k", 2], "one component"),
    (["--kind", "diag", "--inference", "dp"], "goes with kinds full and pcagmm"),
    (["--concentration", 1], "goes with --inference dp"),
    (["--kind", "diag", "--shrink", 0.1], "--shrink goes with"),
    (["--kind", "diag", "-k", 600], "at most half"),
    (["--gate", "0.2,"], "missing at the end"),
    (["--gate", "x"], "no time"),
    (["--gate", "0"], "above 0"),
    (["--gate", "0.2", "--at", 0.2], "judged there"),
    (["--process", "psld"], "without momenta"),
    (["--t-start", 0.2], "no meaning here"),
    (["--kind", "kernel"], "kind"),
])
def test_refusals(run, files, options, words):
    done = fit(run, *options, ok=False)
    assert done.returncode == 2 and words in done.stderr
    assert not (files / "p.npz").exists()


def test_more_refusals(run, files, data):
    for line, code, words in [
        (["prior", "ft", "x.npy"], 2, 'did you mean "fit"'),
        (["prior", "sample", "x.npy", "-o", "y.npy"], 1, "x.npy"),
        (["prior", "fit", "none.npy", "-o", "p.npz"], 1, "none.npy"),
        (["prior", "fit", "labels.npy", "-o", "p.npz"], 1, "[samples][...]"),
        (["prior", "fit", "x.npy"], 2, "-o FILE"),
        (["prior", "fit", "x.npy", "-o", "nowhere/p.npz"], 1, "nowhere"),
        (["prior", "fit", "x.npy", "y", "-o", "p.npz"], 2, 'no place for "y"'),
        (["prior", "fit", "x.npy", "--labels", "x.npy", "-o", "p.npz"], 1, "one for each sample"),
    ]:
        done = run(*line, ok=False)
        assert done.returncode == code and words in done.stderr, (line, done.stderr)
    bad = data[0].copy()
    bad[100, 2] = np.nan
    np.save(files / "x.npy", bad)
    done = fit(run, ok=False)
    assert done.returncode == 1 and "number 2 of sample 100 is not finite" in done.stderr
    few = data[0][:12]
    np.save(files / "x.npy", np.concatenate([few, few + 0.01, few * 2], 1))
    done = fit(run, "--kind", "gauss", "--held-out", 0.3, ok=False)
    assert done.returncode == 2 and "too few for a covariance" in done.stderr


def test_interruption_leaves_nothing(program, files):
    rng = np.random.default_rng(3)
    np.save(files / "x.npy", rng.normal(size=(20000, 60)).astype(np.float32))
    process = subprocess.Popen([program, "prior", "fit", "x.npy", "--kind", "full", "-o", "p.npz", "--tolerance", "1e-12"],
                               cwd=files, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert "interrupted" in process.stderr.read()
    assert {f.name for f in files.iterdir()} == {"x.npy", "labels.npy"}
