"""driftless stats: interrupted, continued, extended, merged, imported; and deis_sn on what it makes."""

import json
import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
FAST = ["--nfe", 40, "--quiet"]
USAGE, INTERRUPTED = 2, 130


@pytest.fixture
def stats(run, tmp_path):
    """stats(name, *options): the content of the file that is made, as bytes."""

    def call(name, *options):
        run("stats", FLAT, *FAST, *options, "-o", name)
        return (tmp_path / name).read_bytes()

    return call


def test_file(stats):
    value = json.loads(stats("s.json", "-n", 50))
    assert value["format"] == "driftless-score-statistics/1" and len(value["network_sha256"]) == 64
    assert value["samples"] == 50 and value["runs"] == [{"seed": "0", "first": "0", "count": 50}]
    assert value["settings"]["nfe"] == 40 and value["settings"]["grid"] == "trailing"
    assert np.allclose(value["times"], 1 - np.arange(40) / 40)
    means = np.array(value["mean_abs_eps"])
    assert np.allclose(means, np.array(value["sums"])[::-1] / 50, rtol=1e-14)
    assert abs(means[-1] - np.sqrt(2 / np.pi)) < 0.2 and means[0] < means[-1]


def test_batches_do_not_show(stats):
    whole = stats("a.json", "-n", 30)
    assert whole == stats("b.json", "-n", 30, "--batch", 7)
    assert whole != stats("c.json", "-n", 30, "--seed", 1)


def test_more_samples_later(stats, tmp_path):
    """A finished file is left alone, or added to when more is asked."""
    first = stats("a.json", "-n", 12)
    made = (tmp_path / "a.json").stat().st_mtime_ns
    assert stats("a.json", "-n", 12) == first and stats("a.json", "-n", 5) == first
    assert (tmp_path / "a.json").stat().st_mtime_ns == made
    assert stats("a.json", "-n", 30) == stats("whole.json", "-n", 30)
    assert not list(tmp_path.glob("*.part"))


def test_merge(run, stats, tmp_path):
    whole = stats("whole.json", "-n", 30)
    stats("a.json", "-n", 12)
    stats("b.json", "-n", 18, "--first", 12)
    run("stats", "merge", "b.json", "a.json", "-o", "m.json")
    assert (tmp_path / "m.json").read_bytes() == whole
    stats("c.json", "-n", 8, "--seed", 5)
    run("stats", "merge", "a.json", "b.json", "c.json", "-o", "m.json")
    merged = json.loads((tmp_path / "m.json").read_text())
    assert merged["samples"] == 38 and len(merged["runs"]) == 2


def test_interrupted_and_continued(program, run, stats, tmp_path):
    """Ctrl-C keeps the whole batches; the same command goes on, and nothing of it shows."""
    command = ["stats", FLAT, "-n", 60, "--nfe", 1000, "--batch", 5]
    master, slave = pty.openpty()
    child = subprocess.Popen([program, *map(str, command), "-o", "s.json"], cwd=tmp_path,
                             stderr=slave, stdout=subprocess.DEVNULL,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    os.close(slave)
    until = time.monotonic() + 60
    while not (tmp_path / "s.json.part").exists() and time.monotonic() < until:
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    seen = b""
    try:
        while more := os.read(master, 4096):
            seen += more
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(master)
    assert child.wait(timeout=20) == INTERRUPTED
    said = seen.decode().rstrip().split("\r")[-1]
    assert said.startswith("driftless: interrupted; ") and "s.json.part" in said
    part = json.loads((tmp_path / "s.json.part").read_text())
    assert part["samples"] % 5 == 0 and 0 < part["samples"] < 60
    assert not (tmp_path / "s.json").exists()
    done = run(*command, "-o", "s.json")
    assert done.stdout == "s.json: 60 samples, 1000 evaluations each\n"
    run(*command, "-o", "whole.json")
    assert (tmp_path / "s.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_deis_sn(run, stats, tmp_path):
    stats("s.json", "-n", 20)
    run("plan", FLAT, "--solver", "deis_sn:stats=s.json,order=2", "--json", "plan.json")
    run("sample", FLAT, "-n", 6, "--solver", "deis_sn:stats=s.json,order=2", "-o", "a.npy")
    os.unlink(tmp_path / "s.json")
    run("sample", FLAT, "-n", 6, "--plan", "plan.json", "-o", "b.npy")
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert np.array_equal(a, b)
    run("sample", FLAT, "-n", 6, "--solver", "deis:order=2", "-o", "c.npy")
    assert 1e-4 < np.abs(a - np.load(tmp_path / "c.npy")).max() < 0.5


def test_shipped_statistics(run, model, tmp_path):
    """The model's folder has its own, and another model's are refused."""
    run("plan", model, "--solver", "deis_sn:order=3", "--json", "a.json")
    run("plan", model, "--solver", f"deis_sn:order=3,stats={model}/score_statistics.json",
        "--json", "b.json")
    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    a["meta"].pop("solver"), b["meta"].pop("solver")
    assert a == b
    done = run("plan", FLAT, "--solver", f"deis_sn:stats={model}/score_statistics.json", ok=False)
    assert done.returncode == USAGE and "another network" in done.stderr
    value = json.loads((Path(model) / "score_statistics.json").read_text())
    means = np.array(value["mean_abs_eps"])
    assert abs(means[-1] - np.sqrt(2 / np.pi)) < 0.01 and 0 < means.min() < means.max() < 0.81


def test_card_without_digest(run, model, tmp_path):
    """The network is then hashed when its statistics are to be trusted."""
    folder = tmp_path / "bare"
    shutil.copytree(model, folder)
    card = json.loads((folder / "model.json").read_text())
    del card["network"]["sha256"]
    (folder / "model.json").write_text(json.dumps(card))
    run("plan", folder, "--solver", "deis_sn")
    with open(folder / "network.onnx", "ab") as network:
        network.write(b"\0")
    assert "another network" in run("plan", folder, "--solver", "deis_sn", ok=False).stderr
    os.unlink(folder / "score_statistics.json")
    done = run("plan", folder, "--solver", "deis_sn", ok=False)
    assert done.returncode == 1 and "driftless stats" in done.stderr


def test_published_ratios(run, tmp_path):
    """The ratios for CIFAR-10 of mtkresearch/Diffusion-DEIS-SN (MIT licence)."""
    run("stats", "import", DATA / "deis-sn-ratios.npz", "--name", "cifar10", "-o", "c.json")
    means = json.loads((tmp_path / "c.json").read_text())["mean_abs_eps"]
    for k, ratio in ((0, 0.5462), (10, 0.6809), (100, 0.7721), (999, 0.7981)):
        assert abs(means[k] - ratio) < 5e-5
    spec = "deis_sn:stats=c.json"
    done = run("plan", "--process", "vp_linear", "--solver", spec, ok=False)
    assert done.returncode == USAGE and "force=1" in done.stderr
    run("plan", "--process", "vp_linear", "--solver", spec + ",force=1")
    done = run("stats", "import", DATA / "deis-sn-ratios.npz", "--name", "lsun", "-o", "d.json",
               ok=False)
    assert done.returncode == 1 and "lsun_ratio_by_t" in done.stderr


@pytest.mark.parametrize("options, says", [
    ([FLAT], "-o FILE"),
    ([FLAT, FLAT, "-o", "x.json"], "no place"),
    ([FLAT, "-o", "x.json", "--name", "a"], "import"),
    ([FLAT, "-o", "x.json", "--nfe", "1"], "whole number"),
    ([FLAT, "-o", "x.json", "--grid", "trailing bins=3"], "blank"),
    ([FLAT, "-o", "x.json", "--guidance", "2"], "null class"),
    (["merge", "a.json", "-o", "x.json"], "two files"),
    (["merge", "a.json", "b.json", "--nfe", "5", "-o", "x.json"], "--nfe has no meaning"),
    (["import", "a.npz", "-o", "x.json"], "--name NAME"),
])
def test_usage(run, tmp_path, options, says):
    before = sorted(tmp_path.iterdir())
    done = run("stats", *options, ok=False)
    assert done.returncode == USAGE and says in done.stderr and done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_other_settings_are_refused(run, stats, tmp_path):
    first = stats("s.json", "-n", 12)
    for options in (["--nfe", 41], ["--nfe", 40, "--seed", 3], ["--nfe", 40, "--solver", "ddim"]):
        done = run("stats", FLAT, "-n", 20, *options, "-o", "s.json", ok=False)
        assert done.returncode == USAGE and "s.json" in done.stderr
    assert (tmp_path / "s.json").read_bytes() == first
    (tmp_path / "s.json").write_text("{}")
    assert run("stats", FLAT, *FAST, "-o", "s.json", ok=False).returncode == USAGE
    assert (tmp_path / "s.json").read_text() == "{}"
