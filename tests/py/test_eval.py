"""driftless eval: features, statistics and their files, against NumPy; interrupted, continued, merged; every
kind of input; every refusal."""

import gzip
import json
import shutil
import signal
import struct
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
FASHION = Path("/usr/share/datasets/fashion-mnist")
FAILURE, USAGE, MODEL, INTERRUPTED = 1, 2, 3, 130


def pictures(n, seed=0, channels=1, side=28):
    """Smooth blobs, u8 [n][side][side][channels]."""
    generator = np.random.default_rng(seed)
    waves = generator.normal(size=(n, 6, channels)) * np.array([1, 1, .7, .7, .5, .5])[None, :, None]
    y, x = np.mgrid[:side, :side] / side * 2 * np.pi
    basis = np.stack([np.sin(x), np.cos(y), np.sin(2 * x + y), np.cos(x - 2 * y), np.sin(3 * y), np.cos(3 * x)])
    values = np.einsum("nkc,kyx->nyxc", waves, basis) * 60 + 120
    return np.clip(values + generator.normal(size=values.shape) * 8, 0, 255).round().astype(np.uint8)


def png(path, picture):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = picture.shape
    raw = b"".join(b"\0" + row.tobytes() for row in picture)
    path.write_bytes(b"\x89PNG\r\n\x1a\n"
                     + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def frechet(x, y):
    """By the eigenvalues of the product of the covariances, which are real and not negative."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0))
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * roots.sum()


def score(logits):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    marginal = p.mean(0)
    return np.exp((p * (np.log(p) - np.log(marginal))).sum(1).mean())


@pytest.fixture(scope="session")
def classifier(root):
    return str(root / "models/fashion-classifier")


@pytest.fixture
def evaluate(run, tmp_path, classifier):
    """evaluate(generated, *options): the record. With the classifier, unless features are named."""

    def call(generated, *options, features=classifier):
        extra = ["--features", features] if features else []
        run("eval", generated, *extra, *options, "--json", "record.json", "-q")
        return json.loads((tmp_path / "record.json").read_text())

    return call


@pytest.fixture
def make_model(tmp_path):
    """make_model(side): one of pictures that costs nothing: the clean sample is predicted as x + t."""

    def make(side):
        folder = tmp_path / "model"
        folder.mkdir()
        shutil.copy(DATA / "networks/image.onnx", folder / "network.onnx")
        (folder / "model.json").write_text(json.dumps({
            "format": "driftless-model/1", "name": "test", "process": "vp_linear", "prediction_type": "sample",
            "t_min": 0.001, "t_max": 1, "time_map": {"type": "linear", "scale": 1},
            "sample": {"shape": [1, side, side]}, "network": {"file": "network.onnx"}}))
        return f"model:{folder}"

    return make


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


# ---- what comes out ----------------------------------------------------------------------------


def test_against_numpy(evaluate, tmp_path, classifier):
    """FID, IS, moments and features of 700 against 600 pictures, by other code from the network on."""
    import openvino

    network = openvino.Core().compile_model(f"{classifier}/network.onnx", "CPU",
                                            {"INFERENCE_PRECISION_HINT": "f32"})
    features, logits = {}, {}
    for name, n, seed in (("made", 700, 1), ("real", 601, 2)):
        x = pictures(n, seed)
        np.savez(tmp_path / f"{name}.npz", arr_0=x)
        out = network([(x.transpose(0, 3, 1, 2) / np.float32(127.5) - 1).astype(np.float32)])
        features[name], logits[name] = out["features"], out["logits"].astype(float)
    record = evaluate("made.npz", "--ref", "real.npz", "--features-out", "f.npy", "-o", "s.npz", "-m", "fid,is,kid")
    ours = np.load(tmp_path / "f.npy")
    assert ours.dtype == np.float32 and np.allclose(ours, features["made"], atol=2e-4)
    evaluate("real.npz", "--features-out", "g.npy")
    theirs = np.load(tmp_path / "g.npy")
    value = {name: record["metrics"][name]["value"] for name in record["metrics"]}
    assert value["fid"] == pytest.approx(frechet(ours.astype(float), theirs.astype(float)), rel=1e-6)
    assert value["is"] == pytest.approx(score(logits["made"]), rel=1e-5)
    assert record["metrics"]["is"]["floor"] == pytest.approx(score(logits["real"]), rel=1e-5)
    halves = theirs[::2].astype(float), theirs[1::2].astype(float)
    assert record["metrics"]["fid"]["floor"] == pytest.approx(frechet(*halves), rel=1e-6)
    kept = arrays(tmp_path / "s.npz")
    assert np.allclose(kept["mu"], ours.mean(0, dtype=float), rtol=1e-10, atol=1e-12)
    assert np.allclose(kept["sigma"], np.cov(ours.astype(float), rowvar=False), rtol=1e-8, atol=1e-10)
    assert kept["blocks"].tolist() == [[0, 512], [512, 188]]
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.tmp"))


def test_record_and_page(run, tmp_path, classifier):
    np.save(tmp_path / "a.npy", pictures(40, 1))
    np.save(tmp_path / "b.npy", pictures(60, 2))
    done = run("eval", "a.npy", "--ref", "b.npy", "--features", classifier, "--json", "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["format"] == "driftless-eval/1" and record["generated"]["count"] == 40
    assert record["extractor"]["name"] == "fashion-classifier" and record["extractor"]["width"] == 128
    assert set(record["metrics"]) == {"fid", "kid", "is", "precision", "recall", "density", "coverage",
                                      "sliced_wasserstein", "mmd_squared"}
    assert all(np.isfinite(m["value"]) and np.isfinite(m["floor"]) for m in record["metrics"].values())
    assert "n = 40, and the covariance has not full rank (n <= d)" in record["notes"][0]
    for words in ("FID", "precision", "30 against 30", record["extractor"]["digest"][:12], "not full rank"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert run("eval", "a.npy", "--ref", "b.npy", "--features", classifier, "-m", "is", "-q").stdout == ""
    both = run("eval", "a.npy", "--ref", "b.npy", "--features", classifier, "-m", "is,sw", "--json", "-")
    assert set(json.loads(both.stdout)["metrics"]) == {"is", "sliced_wasserstein"}


def test_same_pictures_in_every_form(evaluate, tmp_path):
    """And in colour, as what they are: extractor pixels."""
    for channels in (1, 3):
        x = pictures(20, 3, channels)
        numbers = x.transpose(0, 3, 1, 2) / 127.5 - 1
        folder = tmp_path / f"folder{channels}"
        folder.mkdir()
        for i, picture in enumerate(x):
            png(folder / f"{i:03}.png", picture)
        np.savez(tmp_path / "bytes.npz", arr_0=x, arr_1=np.arange(20))
        np.savez_compressed(tmp_path / "float.npz", arr_0=numbers)
        np.save(tmp_path / "last.npy", x)
        np.save(tmp_path / "first.npy", np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        np.save(tmp_path / "float.npy", numbers.astype(np.float32))
        np.save(tmp_path / "unit.npy", (numbers + 1) / 2)
        names = [folder, "bytes.npz", "float.npz", "last.npy", "first.npy", "float.npy"]
        if channels == 1:
            idx = struct.pack(">IIII", 0x803, 20, 28, 28) + x.tobytes()
            (tmp_path / "x-idx3-ubyte").write_bytes(idx)
            (tmp_path / "x-idx3-ubyte.gz").write_bytes(gzip.compress(idx))
            names += ["x-idx3-ubyte", "x-idx3-ubyte.gz"]
        for name in names:
            evaluate(name, "--features-out", "f.npy", features="pixels")
            assert np.allclose(np.load(tmp_path / "f.npy"), numbers.reshape(20, -1), atol=1e-7), name
        evaluate("unit.npy", "--range", "0,1", "--features-out", "f.npy", features="pixels")
        assert np.allclose(np.load(tmp_path / "f.npy"), numbers.reshape(20, -1), atol=1e-7)


def test_ready_features(evaluate, tmp_path):
    """Of float32 or float64, with the distances of the pictures they are of."""
    for name, seed in (("a", 1), ("b", 2)):
        np.savez(tmp_path / f"{name}.npz", arr_0=pictures(80, seed))
        evaluate(f"{name}.npz", "--features-out", f"{name}.npy")
    whole = evaluate("a.npz", "--ref", "b.npz")["metrics"]
    del whole["is"]
    np.save(tmp_path / "wide.npy", np.load(tmp_path / "a.npy").astype(float))
    for name in ("a.npy", "wide.npy"):
        assert evaluate(name, "--ref", "b.npy", features=None)["metrics"] == whole
    record = evaluate("a.npz", "--ref", "b.npy")
    assert "taken on trust" in record["notes"][0]
    assert record["metrics"]["kid"] == whole["kid"]


def test_statistics_as_reference(evaluate, run, tmp_path, classifier):
    """Of ours, and with mu and sigma alone, as clean-fid, EDM and torch-fidelity keep them."""
    np.savez(tmp_path / "a.npz", arr_0=pictures(300, 1))
    np.savez(tmp_path / "b.npz", arr_0=pictures(300, 2))
    whole = evaluate("a.npz", "--ref", "b.npz", "-m", "fid,is")["metrics"]["fid"]["value"]
    evaluate("b.npz", "-o", "ours.npz")
    kept = arrays(tmp_path / "ours.npz")
    np.savez_compressed(tmp_path / "clean.npz", mu=kept["mu"], sigma=kept["sigma"])
    np.savez(tmp_path / "guided.npz", mu=kept["mu"].astype(np.float32), sigma=kept["sigma"].astype(np.float32),
             mu_s=np.zeros(3), sigma_s=np.eye(3))
    for name, tolerance in (("ours.npz", 1e-12), ("clean.npz", 1e-9), ("guided.npz", 1e-3)):
        record = evaluate("a.npz", "--ref", name)
        assert set(record["metrics"]) == {"fid", "is"}
        assert record["metrics"]["fid"]["value"] == pytest.approx(whole, rel=tolerance)
        assert record["metrics"]["fid"]["floor"] is None
        assert any("cannot be had: the reference is statistics only" in note for note in record["notes"])
        assert ("on trust" in record["notes"][0]) == (name != "ours.npz")
    same = evaluate("ours.npz", "--ref", "clean.npz", features=None)
    assert same["metrics"]["fid"]["value"] < 1e-6 and "is" in same["metrics"]
    refused = run("eval", "a.npz", "--ref", "clean.npz", "--features", classifier, "-m", "fid,kid", ok=False)
    assert refused.returncode == USAGE and "kid cannot be had" in refused.stderr


def test_model_as_its_samples(evaluate, run, tmp_path, make_model):
    """Drawn as they are evaluated, or saved before: the same pictures, whatever the batch."""
    model = make_model(28)
    sampler = ["--solver", "ddim", "--steps", 3, "--seed", 5]
    run("sample", model.removeprefix("model:"), "-n", 50, *sampler, "-o", "saved.npz", "-q")
    np.savez(tmp_path / "ref.npz", arr_0=pictures(50, 2))
    saved = evaluate("saved.npz", "--ref", "ref.npz")
    for batch in (64, 7):
        drawn = evaluate(model, "-n", 50, *sampler, "--batch", batch, "--ref", "ref.npz")
        assert drawn["metrics"] == saved["metrics"]
    assert drawn["model"]["nfe"] == 3 and drawn["plan"]["format"].startswith("driftless-plan")
    assert evaluate(model, "-n", 50, *sampler[:-1], 6, "--ref", "ref.npz")["metrics"] != saved["metrics"]


def test_model_that_begins_in_a_prior(evaluate, run, tmp_path, make_model):
    """As the samples that are saved from the same start; another start is another run."""
    model = make_model(28)
    for name, mean in (("low", -0.5), ("high", 0.5)):
        np.savez(tmp_path / f"{name}.npz", format=np.frombuffer(b"driftless-prior/1", np.uint8),
                 kind=np.frombuffer(b"diag", np.uint8), state=[1.0, 0.0], weights=[1.0],
                 means=np.full((1, 784), mean), variances=np.full((1, 784), 0.04))
    np.savez(tmp_path / "ref.npz", arr_0=pictures(50, 2))
    found = []
    for start in (["--prior", "low.npz"], ["--prior", "high.npz"], []):
        sampler = ["-n", 50, "--solver", "ddim", "--steps", 3, "--t-start", 0.3, *start]
        run("sample", model.removeprefix("model:"), *sampler, "-o", "saved.npz", "-q")
        drawn = evaluate(model, *sampler, "--ref", "ref.npz")
        assert drawn["metrics"] == evaluate("saved.npz", "--ref", "ref.npz")["metrics"]
        found.append((drawn["metrics"]["fid"]["value"], drawn["generated"]["digest"]))
    for column in zip(*found):
        assert len(set(column)) == 3


@pytest.mark.skipif(not FASHION.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_real_against_real(evaluate, tmp_path):
    """Real pictures are near other real ones, as near as the floor says; noise is far."""
    raw = gzip.decompress((FASHION / "t10k-images-idx3-ubyte.gz").read_bytes())
    real = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
    for name, part in (("made", real[:400]), ("real", real[400:1200])):
        (tmp_path / f"{name}.gz").write_bytes(
            gzip.compress(struct.pack(">IIII", 0x803, len(part), 28, 28) + part.tobytes(), 1))
    np.save(tmp_path / "noise.npy", pictures(400))
    near = evaluate("made.gz", "--ref", "real.gz", "-m", "fid,is,pr")["metrics"]
    far = evaluate("noise.npy", "--ref", "real.gz", "-m", "fid,pr")["metrics"]
    assert 0 < near["fid"]["value"] < 2 * near["fid"]["floor"] < far["fid"]["value"] / 5
    assert near["precision"]["value"] > 0.7 and near["recall"]["value"] > 0.7 and 7 < near["is"]["value"] < 10
    assert far["precision"]["value"] < 0.5


# ---- interrupted, continued, merged ------------------------------------------------------------


def test_continues_to_the_same_bits(run, program, tmp_path, classifier):
    """Killed by either signal after some shards, with features kept or not."""
    np.save(tmp_path / "a.npy", pictures(2600, 1))
    np.save(tmp_path / "b.npy", pictures(100, 2))
    common = ["eval", "a.npy", "--ref", "b.npy", "--features", classifier, "-t", 1, "-q", "-m"]
    for metrics, number in (("fid,is", signal.SIGKILL), ("fid,sw", signal.SIGINT)):
        run(*common, metrics, "-o", "whole.npz", "--json", "whole.json")
        begun = subprocess.Popen([program, *map(str, common), metrics, "-o", "s.npz"], cwd=tmp_path,
                                 stderr=subprocess.PIPE, text=True)
        part = tmp_path / "s.npz.part"
        while not part.exists() and begun.poll() is None:
            time.sleep(0.005)
        begun.send_signal(number)
        said = begun.communicate()[1]
        assert begun.returncode == (INTERRUPTED if number == signal.SIGINT else -number), said
        assert not (tmp_path / "s.npz").exists()
        have = arrays(part)["blocks"].sum(0)[1]
        assert 512 <= have < 2600 and have % 512 == 0
        if number == signal.SIGINT:
            assert f"{have} of 2600 pictures stand in s.npz.part" in said
        rows = tmp_path / "s.npz.features.part"
        assert rows.exists() == ("sw" in metrics)
        if rows.exists():  # others than the statistics saw
            kept = rows.read_bytes()
            damaged = np.load(rows)
            damaged[have - 1, 5] += 1
            with open(rows, "wb") as file:
                np.save(file, damaged)
            done = run(*common, metrics, "-o", "s.npz", ok=False)
            assert done.returncode == USAGE and "features kept before are not those" in done.stderr
            rows.write_bytes(kept)
        run(*common, metrics, "-o", "s.npz", "--json", "s.json")
        assert (tmp_path / "s.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
        values = [json.loads((tmp_path / name).read_text())["metrics"] for name in ("s.json", "whole.json")]
        assert values[0] == values[1]
        assert not list(tmp_path.glob("*.part"))
        (tmp_path / "s.npz").unlink()


def test_more_pictures_later(evaluate, tmp_path):
    """A finished file is left alone, or continued when more is asked; the last, incomplete shard is done again."""
    np.save(tmp_path / "a.npy", pictures(900, 1))
    evaluate("a.npy", "-n", 700, "-o", "a.npz")
    made = (tmp_path / "a.npz").stat().st_mtime_ns
    evaluate("a.npy", "-n", 700, "-o", "a.npz")
    assert (tmp_path / "a.npz").stat().st_mtime_ns == made
    evaluate("a.npy", "-o", "a.npz")
    evaluate("a.npy", "-o", "whole.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_merge(evaluate, run, tmp_path, make_model):
    """Cut at multiples of 512, in any order: the bits of one run. Elsewhere: the same to rounding."""
    model = make_model(6)

    def part(name, first, n):
        evaluate(model, "-n", n, "--first", first, "--steps", 1, "-o", name, features="pixels")

    part("whole.npz", 0, 1600)
    part("a.npz", 0, 512)
    part("b.npz", 512, 1024)
    part("c.npz", 1536, 64)
    for order in ("abc", "cab", "bca"):
        run("eval", "merge", *[f"{letter}.npz" for letter in order], "-o", "sum.npz")
        assert (tmp_path / "sum.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert arrays(tmp_path / "whole.npz")["blocks"].tolist() == [[0, 1024], [1024, 512], [1536, 64]]
    part("d.npz", 0, 700)
    part("e.npz", 700, 900)
    run("eval", "merge", "e.npz", "d.npz", "-o", "sum.npz")
    kept, whole = arrays(tmp_path / "sum.npz"), arrays(tmp_path / "whole.npz")
    assert kept["blocks"].tolist() == whole["blocks"].tolist()
    for name in ("mu", "sigma"):
        assert np.allclose(kept[name], whole[name], rtol=1e-9, atol=1e-12)
    for others, words in ((["a.npz", "d.npz"], "each may count once"), (["a.npz"], "at least two files"),
                          (["a.npz", "other.npz"], "another extractor")):
        if "other.npz" in others:
            np.save(tmp_path / "x.npy", pictures(10))
            evaluate("x.npy", "-o", "other.npz")
        done = run("eval", "merge", *others, "-o", "bad.npz", ok=False)
        assert done.returncode == USAGE and words in done.stderr and not (tmp_path / "bad.npz").exists()


@pytest.mark.parametrize("more", [[], ["--ref", "b.npy"], ["--ref", "b.npy", "--features-out", "f.npy"]])
def test_other_statistics_are_left_alone(evaluate, run, tmp_path, classifier, more):
    """Whether features are needed beside them or not."""
    np.save(tmp_path / "a.npy", pictures(30, 1))
    np.save(tmp_path / "b.npy", pictures(30, 2))
    evaluate("a.npy", "-o", "s.npz")
    before = (tmp_path / "s.npz").read_bytes()
    for generated, features, words in (("b.npy", classifier, "statistics of something else"),
                                       ("a.npy", "pixels", "of another extractor")):
        done = run("eval", generated, *more, "--features", features, "-o", "s.npz", ok=False)
        assert done.returncode == USAGE and words in done.stderr
    done = run("eval", "a.npy", *more, "--features", classifier, "-n", 20, "-o", "s.npz", ok=False)
    assert done.returncode == USAGE and "more than are asked for" in done.stderr
    evaluate("a.npy", *more, "-o", "s.npz")
    assert (tmp_path / "s.npz").read_bytes() == before


def test_rows_of_another_run(evaluate, program, tmp_path):
    """Interrupted with features, finished without, and all of it once more: the rows that were left
    are not taken for those of the finished file."""
    np.save(tmp_path / "a.npy", pictures(2600, 1))
    np.save(tmp_path / "b.npy", pictures(100, 2))
    common = ["a.npy", "--ref", "b.npy", "-t", 1]
    begun = subprocess.Popen([program, "eval", *map(str, common), "--features", "pixels", "-q", "-o", "s.npz"],
                             cwd=tmp_path)
    rows = tmp_path / "s.npz.features.part"
    while not (tmp_path / "s.npz.part").exists() and begun.poll() is None:
        time.sleep(0.002)
    begun.kill()
    begun.wait()
    kept = rows.read_bytes()
    evaluate(*common, "-m", "fid", "-o", "s.npz", features="pixels")
    assert not rows.exists()
    rows.write_bytes(kept)  # as a run leaves it that is killed before its first shard
    whole = (tmp_path / "s.npz").read_bytes()
    evaluate(*common, "-o", "s.npz", features="pixels")
    assert (tmp_path / "s.npz").read_bytes() == whole and not list(tmp_path.glob("*.part"))


# ---- refusals ----------------------------------------------------------------------------------


def test_extractors_that_come_with_the_program(run, tmp_path, classifier):
    np.save(tmp_path / "a.npy", pictures(30, 1))
    np.save(tmp_path / "b.npy", pictures(30, 2))

    def fid(*options):
        run("eval", "a.npy", "--ref", "b.npy", "-m", "fid", "--json", "r.json", *options)
        record = json.loads((tmp_path / "r.json").read_text())
        return record["extractor"]["name"], record["metrics"]["fid"]["value"]

    default = fid()
    assert default == fid("--features", classifier) == fid("--features", "fashion-classifier")
    other = fid("--features", "mnist-lenet5")
    assert other[0] != default[0] and other[1] != default[1]


def test_refusals(run, tmp_path, classifier):
    np.save(tmp_path / "a.npy", pictures(10, 1))
    np.save(tmp_path / "colour.npy", pictures(10, 1, 3))
    np.save(tmp_path / "small.npy", pictures(10, 1, 1, 20))
    np.save(tmp_path / "numbers.npy", np.full((4, 1, 28, 28), np.nan))
    np.save(tmp_path / "f.npy", np.ones((5, 7), np.float32))
    np.save(tmp_path / "bad-f.npy", np.full((5, 128), np.inf))
    np.savez(tmp_path / "narrow.npz", mu=np.zeros(3), sigma=np.eye(3))
    np.savez(tmp_path / "negative.npz", mu=np.zeros(128), sigma=-np.eye(128))
    np.savez(tmp_path / "skew.npz", mu=np.zeros(128), sigma=np.triu(np.ones((128, 128))))
    np.savez(tmp_path / "nan.npz", mu=np.full(128, np.nan), sigma=np.eye(128))
    (tmp_path / "empty").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ref = ["--ref", "a.npy"]
    cases = [
        (["a.npy", "--features", "pixels"], USAGE, "nothing to do"),
        (["a.npy", "b.npy", *ref], USAGE, "no place for"),
        (["a.npy", *ref, "-m", "fid,fud"], USAGE, '"fud" is none of'),
        (["a.npy", *ref, "-m", ","], USAGE, "is none of"),
        (["a.npy", *ref, "--range", "1"], USAGE, "--range"),
        (["a.npy", *ref, "--range", "1,-1"], USAGE, "--range"),
        (["a.npy", *ref, "--nfe", 5], USAGE, "model:FOLDER only"),
        (["a.npy", *ref, "--prior", "p.npz"], USAGE, "--prior goes with model:FOLDER only"),
        (["model:x", *ref, "--prior-map", "flow"], USAGE, "--prior-map needs --prior"),
        (["a.npy", *ref, "--seed", 5], USAGE, "--seed goes with model"),
        (["a.npy", *ref, "-o", "x.npz", "--json", "x.npz"], USAGE, "already another output"),
        (["a.npy", *ref, "-o", "nowhere/x.npz"], FAILURE, "does not exist"),
        (["missing.npy", *ref], FAILURE, "missing.npy"),
        (["a.npy", "--ref", "model:x", "--features", classifier], USAGE, "a model is no reference"),
        (["model:missing", *ref], MODEL, "missing"),
        (["empty", *ref], FAILURE, "holds no .png files"),
        (["sub", *ref, "--features", "pixels"], FAILURE, "x.png"),
        (["a.npy", "-n", 11, *ref], USAGE, "holds 10 pictures; 11 are asked for"),
        (["f.npy", "--features", classifier, "--ref", "f.npy"], USAGE, "neither side has pictures"),
        (["f.npy", "--ref", "narrow.npz"], USAGE, "different extractors"),
        (["f.npy"], USAGE, "nothing to do"),
        (["a.npy", "--features", "pixels"], USAGE, "nothing to do"),
        (["narrow.npz", "--ref", "narrow.npz", "-o", "x.npz"], USAGE, "statistics already"),
        (["bad-f.npy", "--ref", "bad-f.npy"], FAILURE, "no finite number"),
        (["f.npy", "--ref", "f.npy", "-m", "is"], USAGE, "has no classes"),
        (["a.npy", "--features", classifier, "-m", "fid"], USAGE, "there is no reference"),
        (["a.npy", "--features", "missing", *ref], MODEL, "no extractor of that name"),
        (["colour.npy", "--features", classifier, *ref], USAGE, "3 channels"),
        (["small.npy", "--features", classifier, *ref], USAGE, "takes 28 x 28"),
        (["numbers.npy", "--features", classifier, *ref], FAILURE, "no finite number"),
        (["a.npy", "--features", classifier, "--ref", "negative.npz"], FAILURE, "negative.npz"),
        (["a.npy", "--features", classifier, "--ref", "skew.npz"], FAILURE, "skew.npz"),
        (["a.npy", "--features", classifier, "--ref", "nan.npz"], FAILURE, "nan.npz"),
        (["merge", "a.npy", "a.npy"], USAGE, "needs an output"),
        (["merge", "a.npy", "a.npy", "-o", "x.npz", "--ref", "a.npy"], USAGE, "--ref has no meaning"),
        (["merge", "narrow.npz", "narrow.npz", "-o", "x.npz"], FAILURE, "no array 'about'"),
    ]
    for arguments, code, words in cases:
        done = run("eval", *arguments, ok=False)
        assert (done.returncode, words in done.stderr) == (code, True), (arguments, done.returncode, done.stderr)
        assert len(done.stderr.splitlines()) == 1 and done.stdout == "", done.stderr
    assert not (tmp_path / "x.npz").exists()


def test_hostile_statistics(evaluate, run, tmp_path):
    np.save(tmp_path / "a.npy", pictures(20, 1, 1, 4))
    evaluate("a.npy", "-o", "s.npz", features="pixels")
    good = arrays(tmp_path / "s.npz")
    about = json.loads(good["about"].tobytes())

    def text(**changes):
        return np.frombuffer(json.dumps({**about, **changes}).encode(), np.uint8)

    wrong = [("about", text(format="x")), ("about", text(shard=7)), ("about", text(tail="zz")), ("about", text(origins=1)),
             ("about", text(extractor={**about["extractor"], "width": 17})),
             ("about", text(extractor={**about["extractor"], "width": 10**9})),
             ("about", text(origins=[{**about["origins"][0], "count": "-1"}])), ("about", np.zeros(3)),
             ("about", good["about"][:-3]), ("blocks", np.array([[0, -4]])), ("blocks", np.array([[-1, 20]])),
             ("blocks", np.array([[0, 2**62]])), ("blocks", np.zeros((0, 2), np.int64)), ("blocks", np.zeros(2)),
             ("mean", good["mean"] * np.nan), ("mean", good["mean"][:, 1:]), ("m2", good["m2"] * np.inf),
             ("m2", good["m2"].astype(np.float32)), ("guess", good["guess"][:, :0])]
    for name, value in wrong:
        np.savez(tmp_path / "w.npz", **{**good, name: value})
        for arguments in (["merge", "w.npz", "s.npz", "-o", "x.npz"], ["w.npz", "--ref", "s.npz"]):
            done = run("eval", *arguments, ok=False)
            assert done.returncode in (FAILURE, USAGE) and "w.npz" in done.stderr, (name, done.stderr)
    for cut in (0, 1, 100, 1000):
        (tmp_path / "w.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:cut])
        assert run("eval", "w.npz", "--ref", "s.npz", ok=False).returncode == FAILURE
