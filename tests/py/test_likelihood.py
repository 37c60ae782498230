"""driftless likelihood: a network with a graph of derivatives against central differences, the shipped
model by both methods, interruption, files, refusals."""

import gzip
import hashlib
import json
import signal
import struct
import subprocess
import time

import numpy as np
import pytest
from onnx import TensorProto, checker, helper, numpy_helper, save

SIZE = 4
MATRIX = np.array([[0.6, 0.3, 0, -0.2], [-0.1, 0.5, 0.2, 0], [0.1, 0, 0.7, 0.4], [0.2, -0.3, 0, 0.4]],
                  dtype=np.float32)


def value(name, *dims):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def write_graph(path, jvp):
    """eps = sin(x A) + 0 t, and with `jvp` cos(x A) (v A) beside it."""
    nodes = [helper.make_node("MatMul", ["sample", "A"], ["mixed"]),
             helper.make_node("Sin", ["mixed"], ["bent"]),
             helper.make_node("Mul", ["timestep", "zero"], ["nothing"]),
             helper.make_node("Unsqueeze", ["nothing", "axes"], ["column"]),
             helper.make_node("Add", ["bent", "column"], ["out_sample"])]
    inputs = [value("sample", "batch", SIZE), value("timestep", "batch")]
    outputs = [value("out_sample", "batch", SIZE)]
    if jvp:
        nodes += [helper.make_node("MatMul", ["tangent", "A"], ["moved"]),
                  helper.make_node("Cos", ["mixed"], ["slope"]),
                  helper.make_node("Mul", ["slope", "moved"], ["jvp"])]
        inputs.append(value("tangent", "batch", SIZE))
        outputs.append(value("jvp", "batch", SIZE))
    constants = [numpy_helper.from_array(x, name) for x, name in
                 ((MATRIX, "A"), (np.zeros(1, np.float32), "zero"), (np.array([1]), "axes"))]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, str(path))


@pytest.fixture
def toy(tmp_path):
    """toy(**card keys): folder of a network with derivatives."""

    def make(**keys):
        folder = tmp_path / "toy"
        folder.mkdir(exist_ok=True)
        write_graph(folder / "network.onnx", False)
        write_graph(folder / "jvp.onnx", True)
        card = {"format": "driftless-model/1", "network": {"file": "network.onnx"},
                "jvp": {"file": "jvp.onnx", "output": "out_sample"}, "process": "vp_linear",
                "prediction_type": "epsilon", "time_map": {"type": "linear", "dtype": "float32"},
                "t_min": 0.01, "t_max": 1.0, "sample": {"shape": [SIZE]}, **keys}
        (folder / "model.json").write_text(json.dumps(card))
        return folder

    return make


@pytest.fixture
def points(tmp_path):
    """A file of float64 values [5][4]."""
    np.save(tmp_path / "x.npy", np.sin(1.7 * np.arange(5 * SIZE) + 0.3).reshape(5, SIZE))
    return "x.npy"


def record(done):
    return json.loads(done.stdout)


def test_jvp_against_differences(run, toy, points):
    """Exact traces: the graph's derivative and central differences agree, at half the evaluations."""
    folder = toy()
    both = [record(run("likelihood", folder, points, "--steps", 30, "--json", "-", *more))
            for more in ([], ["--derivative", "central"])]
    assert [one["jvp"] for one in both] == [True, False]
    assert both[0]["nfe"] == 30 * 4 * SIZE and both[1]["nfe"] == 2 * both[0]["nfe"]
    # by differences, O(h^2) and float32: a relative error of 1e-4 of the trace's integral
    assert abs(both[0]["nats"] - both[1]["nats"]) < 2e-3
    finer = record(run("likelihood", folder, points, "--steps", 30, "--json", "-",
                       "--derivative", "central", "--fd-step", 0.05))
    assert abs(both[0]["nats"] - finer["nats"]) < 2e-2
    assert run("info", folder).stdout.count("jvp.onnx") == 1


def integral(x, steps=400):
    """The same flow in NumPy, RK4 over log sigma, by the trace of sin's Jacobian."""
    A = MATRIX.astype(np.float64)

    def schedule(rho):
        a = 1 / np.sqrt(1 + rho * rho)
        return a, rho * a

    def slope(u, y):
        a, b = schedule(np.exp(u))
        eps = np.sin(a * y @ A)
        return np.exp(u) * eps, b * (np.cos(a * y @ A) @ np.diag(A))

    def rho(t):
        return np.sqrt(np.expm1(0.1 * t + 9.95 * t * t))

    u, end = np.log(rho(0.01)), np.log(rho(1.0))
    y, l, h = x / schedule(np.exp(u))[0], 0, (end - u) / steps
    first = schedule(np.exp(u))[0]
    for _ in range(steps):
        k = [slope(u, y)]
        for c in (0.5, 0.5, 1):
            k.append(slope(u + c * h, y + c * h * k[-1][0]))
        y = y + h / 6 * (k[0][0] + 2 * k[1][0] + 2 * k[2][0] + k[3][0])
        l = l + h / 6 * (k[0][1] + 2 * k[1][1] + 2 * k[2][1] + k[3][1])
        u += h
    last = schedule(np.exp(end))[0]
    prior = -((last * y) ** 2).sum(1) / 2 - SIZE / 2 * np.log(2 * np.pi)
    return prior + l + SIZE * np.log(last / first)


def test_against_numpy(run, toy, points, tmp_path):
    run("likelihood", toy(), points, "--steps", 100, "-o", "out.npz", "-q")
    got = np.load(tmp_path / "out.npz")
    assert sorted(got.files) == ["bpd", "nats", "nfe", "path", "prior"]
    exact = integral(np.load(tmp_path / points))
    assert np.abs(got["nats"] + exact).max() < 2e-4
    assert np.allclose(got["bpd"], got["nats"] / (SIZE * np.log(2)))
    run("likelihood", toy(), points, "--solver", "ode45", "--rtol", 1e-5, "-o", "ode.npy", "-q")
    assert np.abs(np.load(tmp_path / "ode.npy") * SIZE * np.log(2) + exact).max() < 1e-2


@pytest.mark.parametrize("keys, says", [
    ({"jvp": {"file": "none.onnx"}}, "jvp"),
    ({"jvp": {"file": "jvp.onnx", "output": "out_sample", "derivative": "none"}}, "no output 'none'"),
    ({"jvp": {"file": "jvp.onnx", "output": "out_sample", "inputs": {"tangent": "none"}}},
     "no input 'none'"),
    ({"jvp": {"file": "network.onnx", "output": "out_sample"}}, "2 inputs"),
    ({"jvp": 3}, "jvp"),
])
def test_bad_jvp(run, toy, points, keys, says):
    done = run("likelihood", toy(**keys), points, ok=False)
    assert done.returncode in (2, 3) and says in done.stderr and done.stderr.count("\n") == 1


def test_shipped_model(run, model, tmp_path):
    """Samples of the model itself, by the flow and the bound: few steps, so a wide margin."""
    run("sample", model, "-n", 3, "--steps", 8, "-o", "x.npz", "-q")
    images = np.load(tmp_path / "x.npz")["arr_0"]
    assert images.dtype == np.uint8
    np.save(tmp_path / "x.npy", images)
    flow = record(run("likelihood", model, "x.npy", "--steps", 6, "--class", "null", "--json", "-"))
    bound = record(run("likelihood", model, "x.npy", "--method", "bound", "--steps", 1000, "--terms",
                       40, "--json", "-"))
    assert (flow["trace"], flow["probes"], flow["jvp"]) == ("rademacher", 1, False)
    assert flow["nfe"] == 48 and bound["nfe"] == 41
    assert 1 < flow["bpd"] < 5 and 1 < bound["bpd"] < 5
    assert bound["bpd"] > flow["bpd"] - 0.7
    # noise of the same bytes is far less likely than pictures
    np.save(tmp_path / "y.npy", np.random.default_rng(0).permuted(images.reshape(3, -1), axis=1)
            .reshape(3, 28, 28))
    noise = record(run("likelihood", model, "y.npy", "--method", "bound", "--steps", 1000, "--terms",
                       20, "--json", "-"))
    assert noise["bpd"] > bound["bpd"] + 1


def test_pictures(run, model, tmp_path):
    """The bytes of an array, in whatever form pictures come, have the same likelihood."""
    bytes_ = np.random.default_rng(3).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "x.npy", bytes_)
    np.savez(tmp_path / "x.npz", arr_0=bytes_[..., None])
    idx = struct.pack(">IIII", 0x803, 6, 28, 28) + bytes_.tobytes()
    (tmp_path / "x-ubyte.gz").write_bytes(gzip.compress(idx))
    bpd = {}
    for name in ("x.npy", "x.npz", "x-ubyte.gz"):
        run("likelihood", model, name, "--method", "bound", "--terms", 3, "-o", "bpd.npy", "-q")
        bpd[name] = np.load(tmp_path / "bpd.npy")
    assert np.std(bpd["x.npy"]) > 0
    assert np.array_equal(bpd["x.npy"], bpd["x.npz"])
    assert np.array_equal(bpd["x.npy"], bpd["x-ubyte.gz"])
    np.savez(tmp_path / "x.npz", arr_0=np.zeros((6, 3, 3, 1), np.uint8))
    done = run("likelihood", model, "x.npz", ok=False)
    assert done.returncode == 1 and "pictures of 1 channels, 3 x 3" in done.stderr


def test_interrupted_is_uninterrupted(run, program, root, tmp_path):
    mixture = f"mixture:{root}/tests/data/mixture2d.json"
    np.save(tmp_path / "x.npy", np.sin(np.arange(200000.0)).reshape(-1, 2))
    command = ["likelihood", mixture, "x.npy", "--steps", "40", "--trace", "rademacher"]
    child = subprocess.Popen([program, *command, "-o", "part.npz", "--batch", "50"], cwd=tmp_path,
                             stderr=subprocess.PIPE, text=True)
    time.sleep(1.0)
    child.send_signal(signal.SIGINT)
    said = child.communicate()[1]
    assert child.returncode == 130 and "the same command goes on from there" in said
    part = tmp_path / "part.npz.part"
    done = len(np.load(part)["rows"])
    assert done > 0 and not (tmp_path / "part.npz").exists()
    count = str(done + 60)
    other = run(*command, "--seed", 1, "-o", "part.npz", ok=False)
    assert other.returncode == 2 and "other settings" in other.stderr
    run(*command, "-n", count, "-o", "part.npz", "-q")
    run(*command, "-n", count, "-o", "whole.npz", "-q", "--batch", 7)
    a, b = np.load(tmp_path / "part.npz"), np.load(tmp_path / "whole.npz")
    assert not part.exists() and a.files == b.files
    for key in a.files:
        assert np.array_equal(a[key], b[key])


# ---- a density at T --------------------------------------------------------------------------------------


def word(text):
    return np.frombuffer(text.encode(), np.uint8)


@pytest.fixture
def mixture(root, tmp_path):
    """The public mixture: its address, samples of it in x.npy, and its density as a prior's file."""
    means = np.array([[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]])
    stds = np.array([[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]])
    rng = np.random.default_rng(1)
    k = rng.choice(3, 3000, p=[0.5, 0.3, 0.2])
    np.save(tmp_path / "x.npy", means[k] + stds[k] * rng.normal(size=(3000, 2)))
    np.savez(tmp_path / "it's a, prior.npz", format=word("driftless-prior/1"), kind=word("full"), means=means,
             state=np.array([1.0, 0]), weights=np.array([0.5, 0.3, 0.2]), covariances=[np.diag(s**2) for s in stds])
    return f"mixture:{root}/tests/data/mixture2d.json"


def test_prior_of_a_file(run, mixture, tmp_path):
    """The exact density from a file is the exact one; told, recorded, part of what a run goes on from."""
    common = ["likelihood", mixture, "x.npy", "-n", 40, "--t-start", 0.3, "--json"]
    for method in (["--steps", 20], ["--method", "bound", "--steps", 20]):
        exact = record(run(*common, "-", *method, "--prior", "exact"))
        done = run(*common, "own.json", *method, "--prior", "it's a, prior.npz", "-o", "x.npz")
        own = json.loads((tmp_path / "own.json").read_text())
        assert abs(own["nats"] - exact["nats"]) < 1e-9 and abs(own["prior"] - exact["prior"]) < 1e-9
        assert "from a prior of kind full, 3 components" in done.stderr and "full density" in done.stdout
        assert own["start_density"] == "file" and exact["start_density"] == "exact" and exact["start"] is None
        digest = hashlib.sha256((tmp_path / "it's a, prior.npz").read_bytes()).hexdigest()
        assert own["prior_file"] == {"path": "it's a, prior.npz", "sha256": digest}
        assert own["start"]["law"] == "prior" and own["start"]["t"] == 0.3
    plain = run(*common, "plain.json", "--steps", 20)
    assert "warning: at t = 0.3 data" in plain.stderr
    assert run(*common, "plain.json", "--steps", 20, "-q").stderr == ""
    # log p_T - log N(0, I), of the same states: the divergence, 0.0655 on the mean over all data
    assert 0 < json.loads((tmp_path / "plain.json").read_text())["nats"] - exact["nats"] + 0.2


def test_fit_on_ode_images(run, mixture, tmp_path):
    """Data -> states of the flow at T -> a prior of them -> likelihood and samples from that T."""
    flow = ["likelihood", mixture, "x.npy", "--steps", 30, "--batch", 500, "--json", "-"]
    plain = record(run(*flow, "--t-start", 0.3, "--latents", "z.npy"))
    exact = record(run(*flow, "--t-start", 0.3, "--prior", "exact"))
    z = np.load(tmp_path / "z.npy")
    assert z.dtype == np.float64 and z.shape == (3000, 2)
    a, b = np.exp(-(0.1 * 0.3 + 9.95 * 0.09) / 2), np.sqrt(-np.expm1(-0.1 * 0.3 - 9.95 * 0.09))
    x = np.load(tmp_path / "x.npy")
    assert np.abs(z.mean(0) - a * x.mean(0)).max() < 0.02  # the law of a x + b n
    assert np.abs(np.cov(z.T) - a**2 * np.cov(x.T) - b**2 * np.eye(2)).max() < 0.04
    run("prior", "from-samples", "z.npy", "--at", 0.3, "--kind", "full", "--components", 3, "-q", "-o",
        "s.npz")
    done = run(*flow[:-1], "own.json", "--prior", "s.npz")
    own = json.loads((tmp_path / "own.json").read_text())
    assert done.stderr.startswith("driftless: T = 0.3, where s.npz was fitted\n")
    assert own["t_start"] == 0.3 and own["nats"] < plain["nats"] - 0.04
    assert abs(own["nats"] - exact["nats"]) < 0.01
    other = run(*flow, "--prior", "s.npz", "--t-start", 0.4, ok=False)
    assert other.returncode == 2 and "good there only" in other.stderr
    done = run("sample", mixture, "--prior", "s.npz", "--steps", 4, "-n", 5, "-o", "y.npy", "--json", "r.json")
    start = json.loads((tmp_path / "r.json").read_text())["start"]
    assert start["t"] == 0.3 and start["law"] == "prior"
    assert done.stderr.startswith("driftless: T = 0.3, where s.npz was fitted\n")
    run("sample", mixture, "--prior", "s.npz", "--steps", 4, "-n", 5, "-o", "z5.npy", "-q", "--t-start", 0.3)
    assert np.array_equal(np.load(tmp_path / "y.npy"), np.load(tmp_path / "z5.npy"))
    assert run("sample", mixture, "--prior", "s.npz", "--solver", "ode45", "-n", 2, "-o", "y.npy", "-q").stderr == ""
    done = run("sample", mixture, "--prior", "s.npz", "--process", "sub_vp", "-o", "y.npy", ok=False)
    assert done.returncode == 2 and "does not pass" in done.stderr


def test_latents_go_on(run, mixture, tmp_path):
    """States at T of an interrupted run that goes on are those of one that was not."""
    command = ["likelihood", mixture, "x.npy", "-n", 60, "--steps", 8, "-q", "--latents"]
    run(*command, "whole.npy", "-o", "whole.npz")
    run(*command, "again.npy", "-o", "again.npz", "--batch", 7)
    assert np.array_equal(np.load(tmp_path / "whole.npy"), np.load(tmp_path / "again.npy"))


@pytest.mark.parametrize("more, says", [
    (["--latents", "z.npz"], "must end in .npy"),
    (["--latents", "z.npy", "-o", "z.npy"], "already another output"),
    (["--latents", "z.npy", "--json", "z.npy"], "already another output"),
    (["--latents", "none/z.npy"], "none"),
    (["--latents", "z.npy", "--draws", 2], "latents are those of one"),
    (["--latents", "z.npy", "--method", "bound"], "method=flow"),
    (["--prior", "none.npz"], "none.npz"),
    (["--prior", "x.npy"], "x.npy"),
    (["-o", "x.png"], ".npz or .npy"),
    (["--method", "bound", "--probes", 2], "belongs to method"),
    (["--t-start", 0], "signal and noise"),
    (["--class", "3"], "no classes"),
    (["--process", "psld"], "phase space"),
    (["--labels", "x.npy", "--class", "1"], "contradict"),
    (["--labels", "x.npy"], "int64"),
    (["-n", 9], "there are 5"),
    (["-o", "none/x.npz"], "none"),
])
def test_refusals(run, toy, points, more, says):
    done = run("likelihood", toy(), points, *more, ok=False)
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert done.returncode in (1, 2)


@pytest.mark.parametrize("array, says", [
    (np.zeros(4), "dimensions"),
    (np.zeros((2, 5)), "5 numbers"),
    (np.full((2, 4), np.nan), "not finite"),
    (np.zeros((2, 4), np.int64), "uint8"),
    (np.zeros((0, 4)), ""),
])
def test_bad_data(run, toy, tmp_path, array, says):
    np.save(tmp_path / "bad.npy", array)
    done = run("likelihood", toy(), "bad.npy", ok=False)
    assert says in done.stderr and done.stderr.count("\n") == 1
