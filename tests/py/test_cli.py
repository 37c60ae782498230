"""The program: every command and option, what it refuses and how, and that its outputs are whole,
repeatable and independent of how a run is cut up."""

import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
USAGE, MODEL, INTERRUPTED = 2, 3, 130


# ---- models and readers ---------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path):
    """A mixture of 4x5 pictures with classes 0 and 1, null class 2, and names."""
    means = [[0.6] * 10 + [-0.6] * 10, [-0.5] * 20, [0.5, -0.5] * 10]
    card = {"name": "squares", "sample": {"shape": [1, 4, 5], "range": [-1, 1]},
            "classes": {"count": 2, "null": 2, "names": ["left half", "other"]}}
    mixture = {"format": "driftless-mixture/1", "weights": [1, 1, 1], "means": means,
               "stds": [0.2, 0.1, 0.2], "labels": [0, 1, 1], "card": card}
    path = tmp_path / "squares.json"
    path.write_text(json.dumps(mixture))
    return f"mixture:{path}"


@pytest.fixture
def draw(run, tmp_path):
    """draw(model, *options): the samples as an array, through an .npy."""

    def call(model, *options):
        out = tmp_path / "draw.npy"
        run("sample", model, *options, "-o", out, "--quiet")
        value = np.load(out)
        out.unlink()
        return value

    return call


def read_png(path):
    """(width, height, channels, pixels) of an 8-bit picture, with its checksums verified."""
    data = Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, head = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0]
        head = body if kind == b"IHDR" else head
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", head[:10])
    assert depth == 8
    return width, height, {0: 1, 2: 3}[colour], zlib.decompress(packed)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# ---- commands ---------------------------------------------------------------------------------------


def test_version(run):
    assert run("version").stdout == run("--version").stdout
    assert run("version").stdout.startswith("driftless ")


def test_lists(run):
    for family, word in (("solvers", "deis"), ("grids", "power"), ("processes", "vp_linear")):
        assert word in run(family).stdout


COMMANDS = ["sample", "plan", "likelihood", "times", "info", "doctor", "solvers", "grids", "processes", "version", "help"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(run, command):
    text = run(command, "--help").stdout
    assert text == run("help", command).stdout == run(command, "-h").stdout
    assert text.startswith(f"usage: driftless {command}")
    assert all(len(line) <= 80 and line == line.rstrip() for line in text.splitlines())


def test_help_of_program(run):
    text = run("help").stdout
    assert text == run("--help").stdout
    assert all(f"  {command} " in text for command in COMMANDS)
    assert all(len(line) <= 80 for line in text.splitlines())


def test_info(run, images):
    lines = run("info", images).stdout.splitlines()
    values = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines}
    assert values["name"] == "squares"
    assert values["sample.shape"] == "1, 4, 5"
    assert values["classes.names"] == "left half, other"
    raw = json.loads(run("info", images, "--json").stdout)
    assert raw["name"] == "squares" and raw["sample"]["shape"] == [1, 4, 5]


def test_info_warns(run, tmp_path):
    mixture = json.loads((DATA / "mixture2d.json").read_text())
    mixture["stdz"] = 1
    (tmp_path / "odd.json").write_text(json.dumps(mixture))
    done = run("info", "mixture:odd.json")
    assert done.stderr.startswith("driftless: warning: ") and "stdz" in done.stderr


def test_plan_table_and_json(run, tmp_path):
    spec = ["--process", "vp_linear", "--solver", "deis:order=2", "--steps", "5"]
    assert len(run("plan", *spec).stdout.splitlines()) >= 5
    text = run("plan", *spec, "--json", "-").stdout
    plan = json.loads(text)
    assert plan["format"] == "driftless-plan/1"
    assert sum(row["op"] == "EVAL" for row in plan["rows"]) == 5
    run("plan", *spec, "--json", "p.json")
    assert json.loads((tmp_path / "p.json").read_text()) == plan
    assert run("plan", "--plan", "p.json", "--json", "-").stdout == text
    assert run("plan", "--plan", "p.json").stdout == run("plan", *spec).stdout


def test_plan_of_model(run, model, images):
    """The card is enough: no network is loaded."""
    assert run("plan", model, "--nfe", "6").stdout
    assert run("plan", images, "--t-start=0.9", "--t-end=0.01", "--denoise").stdout


# ---- options of sample --------------------------------------------------------------------------------


def test_png_grid(run, images, tmp_path):
    done = run("sample", images, "-n", 7, "--columns", 3, "--steps=4", "-o", "grid.png")
    width, height, channels, pixels = read_png(tmp_path / "grid.png")
    margin = width - 3 * 5
    assert margin > 0 and channels == 1
    assert (height - 3 * 4) > 0 and len(pixels) == height * (width + 1)
    words = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert words["model"] == "squares" and words["images"] == "7"
    assert words["evaluations"].startswith("4 per image")
    assert words["output"] == "grid.png" and "images/s" in words["rate"]
    assert done.stderr == ""


def test_npz_bytes_and_floats(run, draw, images, tmp_path):
    opts = ["-n", 9, "--steps", 4, "-s", 3, "-q"]
    run("sample", images, *opts, "-o", "b.npz")
    run("sample", images, *opts, "-o", "f.npz", "--float")
    b, f = np.load(tmp_path / "b.npz"), np.load(tmp_path / "f.npz")
    assert b["arr_0"].dtype == np.uint8 and b["arr_0"].shape == (9, 4, 5, 1)
    assert f["arr_0"].dtype == np.float32 and f["arr_0"].shape == (9, 1, 4, 5)
    assert np.array_equal(b["arr_1"], np.arange(9) % 2)
    expected = np.clip(np.rint((f["arr_0"].astype(float) + 1) * 127.5), 0, 255)
    assert np.abs(expected.transpose(0, 2, 3, 1) - b["arr_0"]).max() <= 1
    assert np.array_equal(draw(images, "-n", 9, "--steps", 4, "-s", 3), f["arr_0"])


def test_npz_of_points_is_float(run, tmp_path):
    run("sample", FLAT, "-n", 5, "--dtype", "float64", "-o", "p.npz", "-q")
    points = np.load(tmp_path / "p.npz")
    assert points.files == ["arr_0"]
    assert points["arr_0"].dtype == np.float64 and points["arr_0"].shape == (5, 2)


def test_folder(run, images, tmp_path):
    run("sample", images, "-n", 3, "--first", 10, "--steps", 2, "-o", "pics/", "-q")
    assert sorted(p.name for p in (tmp_path / "pics").iterdir()) == [
        "000010.png", "000011.png", "000012.png"]
    assert read_png(tmp_path / "pics/000010.png")[:3] == (5, 4, 1)
    done = run("sample", images, "-n", 3, "-o", "pics/", ok=False)
    assert done.returncode == 1 and "not empty" in done.stderr


def test_aliases_and_attached_values(draw):
    a = draw(FLAT, "-n", "6", "--solver", "ddim", "--grid", "uniform", "--steps", "4")
    b = draw(FLAT, "-n6", "--sampling-method=ddim", "--scheduler=uniform", "--steps=4")
    assert np.array_equal(a, b)
    assert np.array_equal(*(draw(FLAT, "-n6", "--solver", name) for name in ("DPM++ 2M SDE", "dpmpp_2m_sde")))


def test_class(draw, images):
    by_index = draw(images, "-n", 8, "--class", 0)
    assert np.array_equal(by_index, draw(images, "-n", 8, "-c", "left half"))
    assert (by_index[:, 0, :2].mean(axis=(1, 2)) > 0.3).all()
    assert not np.array_equal(by_index, draw(images, "-n", 8, "--class", "null"))
    default = draw(images, "-n", 8)
    assert np.array_equal(default[::2], by_index[::2])


def test_guidance(run, draw, images):
    plain = draw(images, "-n", 4)
    assert np.allclose(plain, draw(images, "-n", 4, "--guidance", 1), atol=1e-4)
    done = run("sample", images, "-n", 4, "-g", "1.5", "--nfe", 6, "-o", "g.npy")
    assert "6 per image (12 network calls)" in done.stdout


def test_process_times_seed(draw):
    base = draw(FLAT, "-n", 4)
    for option in (["--process", "vp_linear:beta_max=15"], ["--t-start", "0.9"],
                   ["--t-end", "0.05"], ["--denoise"], ["-s", "2"], ["--thresholding"]):
        assert not np.array_equal(base, draw(FLAT, "-n", 4, *option)), option


def test_network_options_are_accepted(draw):
    """They have no influence on a mixture, but must be understood."""
    options = ["--precision", "f32", "--threads", "1", "--microbatch", "8", "--model-cache",
               "a folder's, cache"]
    assert np.array_equal(draw(FLAT, "-n", 4), draw(FLAT, "-n", 4, *options))


# ---- what must not matter -----------------------------------------------------------------------------

SOLVERS = ["deis:order=3", "ddpm"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_batch_does_not_matter(draw, images, solver):
    opts = ["-n", 40, "--solver", solver, "--steps", 4, "--seed", 5]
    whole = draw(images, *opts)
    for batch in (1, 7, 64):
        assert np.array_equal(whole, draw(images, *opts, "--batch", batch)), batch


@pytest.mark.parametrize("solver", SOLVERS)
def test_cut_runs_join(draw, images, solver):
    opts = ["--solver", solver, "--steps", 4, "--seed", 5]
    whole = draw(images, "-n", 40, *opts)
    parts = [draw(images, "-n", n, "--first", first, *opts)
             for first, n in ((0, 13), (13, 1), (14, 26))]
    assert np.array_equal(whole, np.concatenate(parts))


def test_streams_more_than_a_chunk(draw):
    big = draw(FLAT, "-n", 9000, "--steps", 2)
    assert big.shape == (9000, 2)
    assert np.array_equal(big[4090:4110], draw(FLAT, "-n", 20, "--first", 4090, "--steps", 2))


def test_saved_plan_equals_direct_run(run, draw):
    spec = ["--solver", "deis:order=2", "--grid", "power:kappa=3", "--steps", 6]
    run("plan", FLAT, *spec, "--json", "p.json")
    assert np.array_equal(draw(FLAT, "-n", 6, *spec), draw(FLAT, "-n", 6, "--plan", "p.json"))


def test_noise_replay(run, draw, tmp_path):
    opts = ["-n", 10, "--first", 3, "--solver", "ddpm", "--steps", 5]
    run("sample", FLAT, *opts, "--seed", 8, "--save-noise", "n.npz", "-o", "a.npy", "-q")
    noise = np.load(tmp_path / "n.npz")
    assert noise["start"].shape == (10, 2) and noise["noise"].shape[1:] == (10, 2)
    wanted = np.load(tmp_path / "a.npy")
    assert np.array_equal(wanted, draw(FLAT, *opts, "--noise", "n.npz"))
    assert np.array_equal(wanted, draw(FLAT, *opts[2:], "--noise", "n.npz"))
    other = draw(FLAT, *opts, "--seed", 9)
    assert not np.array_equal(wanted, other)
    np.savez(tmp_path / "start.npz", start=noise["start"])
    mixed = draw(FLAT, *opts, "--noise", "start.npz", "--seed", 8)
    assert np.array_equal(wanted, mixed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_trajectory_and_init(run, draw, images, tmp_path, dtype):
    opts = ["-n", 6, "--steps", 3, "--dtype", dtype]
    run("sample", images, *opts, "--trajectory", "t.npz", "-o", "a.npy", "-q")
    track, last = np.load(tmp_path / "t.npz"), np.load(tmp_path / "a.npy")
    assert track["states"].shape == (4, 6, 1, 4, 5) and track["states"].dtype == dtype
    assert track["t"].shape == (4,) and (np.diff(track["t"]) < 0).all()
    assert np.array_equal(track["states"][-1], last)
    np.save(tmp_path / "x.npy", track["states"][0])
    assert np.array_equal(last, draw(images, *opts[2:], "--init", "x.npy", "--seed", 77))


# ---- the run record -----------------------------------------------------------------------------------


def test_record_reproduces_the_run(run, images, tmp_path):
    run("sample", images, "-n", 12, "--first", 5, "-s", 4, "--solver", "ddpm", "--steps", 6,
        "-c", "other", "-g", 2, "--trajectory", "t.npz", "-o", "a.npz", "--json", "r.json", "-q")
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["format"] == "driftless-run/1"
    assert record["run"]["seed"] == "4" and record["run"]["first"] == "5"
    assert record["run"]["count"] == 12 and record["run"]["class"] == 1
    nfe = record["run"]["nfe"]
    assert record["run"]["network_calls_per_sample"] == 2 * nfe == 2 * record["plan"]["nfe"]
    assert {f["role"]: f["sha256"] for f in record["outputs"]} == {
        "samples": sha256(tmp_path / "a.npz"), "trajectory": sha256(tmp_path / "t.npz")}
    assert set(record["seconds"]) == {"open", "plan", "sample", "model", "write", "total"}
    assert record["model"]["info"]["name"] == "squares"
    assert record["model"]["mixture_sha256"] == sha256(tmp_path / "squares.json")

    options = record["run"]["options"]
    run("plan", images, "--solver", "ddpm", "--steps", 6, "--json", "p.json")
    assert record["plan"]["sha256"] == sha256(tmp_path / "p.json")
    options |= {"output": "b.npz", "trajectory": "t2.npz", "json": "r2.json"}
    again = [f"--{k}" if v is True else f"--{k}={v}" for k, v in options.items()]
    run("sample", record["model"]["where"], *again)
    a, b = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    assert all(np.array_equal(a[k], b[k]) for k in a.files)


def test_folder_record_lists_every_file(run, images, tmp_path):
    run("sample", images, "-n", 3, "--steps", 2, "-o", "pics/", "--json", "r.json", "-q")
    files = json.loads((tmp_path / "r.json").read_text())["outputs"]
    assert [f["path"] for f in files] == [f"pics/{i:06d}.png" for i in range(3)]
    assert all(sha256(tmp_path / f["path"]) == f["sha256"] for f in files)


# ---- refusals -------------------------------------------------------------------------------------------

OUT = ["-o", "x.npy"]
REFUSED = [
    ([], USAGE, "no command"),
    (["smaple"], USAGE, "did you mean \"sample\""),
    (["help", "plam"], USAGE, "did you mean \"plan\""),
    (["version", "extra"], USAGE, "no place"),
    (["sample"], USAGE, "usage: driftless sample MODEL"),
    (["sample", FLAT], USAGE, "-o PATH"),
    (["sample", FLAT, *OUT, "--stepz", "3"], USAGE, "did you mean --steps"),
    (["sample", FLAT, *OUT, "--zzzzzz"], USAGE, "--help"),
    (["sample", FLAT, *OUT, "-z"], USAGE, "no option -z"),
    (["sample", FLAT, *OUT, "--steps"], USAGE, "needs a value"),
    (["sample", FLAT, *OUT, "--steps", "--quiet"], USAGE, "needs a value"),
    (["sample", FLAT, *OUT, "--steps", "ten"], USAGE, "whole number"),
    (["sample", FLAT, *OUT, "--steps", "0"], USAGE, "from 1"),
    (["sample", FLAT, *OUT, "--steps", "3", "--steps", "3"], USAGE, "twice"),
    (["sample", FLAT, *OUT, "--steps", "3", "--nfe", "3"], USAGE, "--nfe"),
    (["sample", FLAT, *OUT, "--quiet=1"], USAGE, "takes no value"),
    (["sample", FLAT, *OUT, "--dtype", "float16"], USAGE, "float32|float64"),
    (["sample", FLAT, *OUT, "--t-end", "nan"], USAGE, "number"),
    (["sample", FLAT, *OUT, "--solver", ""], USAGE, "empty"),
    (["sample", FLAT, *OUT, "--solver", "dies"], USAGE, "deis"),
    (["sample", FLAT, *OUT, "--solver", "deis:order=99"], USAGE, "order"),
    (["sample", FLAT, *OUT, "--solver", "deis steps=3"], USAGE, "blank"),
    (["sample", FLAT, *OUT, "--grid", "powr"], USAGE, "power"),
    (["sample", FLAT, *OUT, "--process", "vp_liner"], USAGE, "vp_linear"),
    (["sample", FLAT, *OUT, "--t-start", "0.1", "--t-end", "0.5"], USAGE, "0.5"),
    (["sample", FLAT, *OUT, "--class", "0"], USAGE, "no classes"),
    (["sample", FLAT, *OUT, "--guidance", "2"], USAGE, "null class"),
    (["sample", FLAT, *OUT, "--plan", "p.json", "--steps", "3"], USAGE, "--steps"),
    (["sample", FLAT, *OUT, "--plan", "p.json", "--denoise"], USAGE, "--denoise"),
    (["sample", FLAT, *OUT, "--plan", "none.json"], 1, "none.json"),
    (["sample", FLAT, *OUT, "--init", "none.npy"], 1, "none.npy"),
    (["sample", FLAT, *OUT, "--noise", "none.npz"], 1, "none.npz"),
    (["sample", FLAT, *OUT, "--trajectory", "x.npy"], USAGE, "another output"),
    (["sample", FLAT, "-o", "x.jpg"], USAGE, ".png, .npz, .npy"),
    (["sample", FLAT, "-o", "x.png"], USAGE, "not pictures"),
    (["sample", FLAT, "-o", "pics/"], USAGE, "not pictures"),
    (["sample", FLAT, "-o", "nowhere/x.npy"], 1, "nowhere does not exist"),
    (["sample", FLAT, *OUT, "--json", "nowhere/r.json"], 1, "nowhere does not exist"),
    (["sample", "nowhere", *OUT], MODEL, "nowhere"),
    (["sample", *OUT, "--", "--steps"], MODEL, "--steps"),
    (["sample", "mixture:nowhere.json", *OUT], MODEL, "nowhere.json"),
    (["info", "nowhere"], MODEL, "nowhere"),
    (["info"], USAGE, "usage"),
    (["plan"], USAGE, "usage"),
    (["plan", "nowhere"], MODEL, "nowhere"),
    (["plan", "--process", "vp_liner"], USAGE, "vp_linear"),
    (["plan", FLAT, "--plan", "p.json"], USAGE, "beside --plan"),
]


@pytest.mark.parametrize("arguments, code, word", REFUSED,
                         ids=[" ".join(a[:1] + a[2:])[:40] or "none" for a, _, _ in REFUSED])
def test_refusals(run, tmp_path, arguments, code, word):
    done = run(*arguments, ok=False)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("driftless: ") and word in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option, word", [
    (["-c", "3"], "0 to 1"), (["-c", "left hall"], "left half"), (["-c", "-1"], "0 to 1"),
    (["-n", "5000", "-o", "g.png"], "4096"), (["--init", "i.npy"], "numbers"),
    (["--init", "few.npy", "-n", "9"], "2 states"), (["--noise", "odd.npz"], "axes"),
    (["--noise", "few.npz", "-n", "9"], "too few"), (["--noise", "none.npz"], "none of"),
    (["--plan", "bad.json"], "bad.json")])
def test_refusals_with_files(run, images, tmp_path, option, word):
    np.save(tmp_path / "i.npy", np.zeros((64, 3)))
    np.save(tmp_path / "few.npy", np.zeros((2, 1, 4, 5)))
    np.savez(tmp_path / "odd.npz", start=np.zeros((4, 3, 2)))
    np.savez(tmp_path / "few.npz", start=np.zeros((2, 20)))
    np.savez(tmp_path / "none.npz", other=np.zeros(3))
    (tmp_path / "bad.json").write_text('{"format": "driftless-plan/1", "rows": [')
    before = sorted(tmp_path.iterdir())
    output = [] if "-o" in option else OUT
    done = run("sample", images, *option, *output, ok=False)
    assert done.returncode in (1, 2) and word in done.stderr and done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["solvers"], ["help"], ["plan", "--process", "vp_linear"],
                                       ["doctor", FLAT], ["sample", FLAT, "-n", "2", *OUT]])
def test_full_disk(program, tmp_path, arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([program, *arguments], cwd=tmp_path, stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "standard output" in done.stderr


def test_closed_pipe(program, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([program, "sample", FLAT, "-n", "2", *OUT], cwd=tmp_path, stdout=writer,
                          stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 1
    assert np.load(tmp_path / "x.npy").shape == (2, 2)


# ---- interruption and progress ------------------------------------------------------------------------------


@pytest.fixture
def long_run(program, images, tmp_path):
    """long_run(output): a run of minutes with a terminal for stderr; the process and the terminal,
    once the progress bar shows that sampling is under way. `seen` gathers what it prints."""
    children = []

    def call(output, seen):
        master, slave = pty.openpty()
        command = [program, "sample", images, "-n", "400000", "--steps", "900", "-o", output]
        signals = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job ignores it
        child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=slave,
                                 preexec_fn=signals)
        children.append((child, master))
        os.close(slave)
        while "ETA" not in "".join(seen):
            seen.append(os.read(master, 4096).decode())
        return child, master

    yield call
    for child, master in children:
        child.kill()
        child.communicate()
        os.close(master)


def rest_of(master, seen):
    """Everything on a terminal, up to the end of its last writer."""
    while True:
        assert select.select([master], [], [], 60)[0], "the program does not stop"
        try:
            more = os.read(master, 4096)
        except OSError:
            return "".join(seen)
        seen.append(more.decode())


@pytest.mark.parametrize("output", ["out.npy", "out.npz", "pics/"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing(long_run, tmp_path, output, number):
    before, seen = sorted(tmp_path.iterdir()), []
    child, master = long_run(output, seen)
    child.send_signal(number)
    last = rest_of(master, seen).rstrip().split("\r")[-1]
    assert last == "driftless: interrupted; nothing was written"
    assert child.wait(timeout=20) == INTERRUPTED and child.stdout.read() == b""
    assert sorted(tmp_path.iterdir()) == before


def test_old_output_survives_interruption(long_run, tmp_path):
    (tmp_path / "out.npy").write_text("old")
    child, master = long_run("out.npy", seen := [])
    child.send_signal(signal.SIGINT)
    rest_of(master, seen)
    assert child.wait(timeout=20) == INTERRUPTED
    assert (tmp_path / "out.npy").read_text() == "old"


def test_progress_bar(long_run):
    began = time.monotonic()
    child, master = long_run("out.npy", seen := [])
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    spent = time.monotonic() - began
    bars = [part for part in rest_of(master, seen).split("\r") if "ETA" in part]
    assert 1 <= len(bars) <= 10 * spent + 1 and all("/400000" in bar and len(bar) < 80 for bar in bars)


def test_what_is_printed(run, tmp_path):
    done = run("sample", FLAT, *OUT, "--quiet")
    assert done.stdout == "" and done.stderr == ""
    assert np.load(tmp_path / "x.npy").shape == (64, 2)
    done = run("sample", FLAT, "-n", 20000, *OUT, "--json", "-")
    assert json.loads(done.stdout)["run"]["count"] == 20000 and done.stderr == ""
