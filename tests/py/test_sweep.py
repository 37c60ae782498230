"""driftless sweep: killed, continued, repeated from a capsule, with a rival's program; its report and refusals."""

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest

USAGE, MODEL, FAILURE, INTERRUPTED = 2, 3, 1, 130
TIMES = ("seconds_per_sample", "network_share")

PEER = """
import sys
import numpy as np
words = sys.argv[1:]
given = dict(zip(words[-12::2], words[-11::2]))
assert set(given) == {"--model", "--start", "--labels", "--nfe", "--t-end", "-o"}, words
x, labels = np.load(given["--start"]), np.load(given["--labels"])
assert x.dtype == np.float32 and labels.dtype == np.int64 and len(x) == len(labels), (x.dtype, labels.dtype)
mode = words[0]
if mode == "fails" and given["--nfe"] == "3":
    sys.exit("three evaluations are too many")
if mode == "keep":
    np.save("seen.npy", x)
    np.save("seen-labels.npy", labels)
    open("seen.txt", "w").write(" ".join(words))
if mode == "nan":
    x[3] = np.nan
np.save(given["-o"], (x * 0.3)[: len(x) - (mode == "short")])
"""


@pytest.fixture
def pictures(tmp_path):
    """A mixture of pictures of 4 x 4 with two classes, and 100 "real" ones: MODEL and options."""
    mixture = {"format": "driftless-mixture/1", "weights": [0.5, 0.5], "labels": [0, 1],
               "means": [[-0.4] * 16, [0.4] * 16], "stds": [0.2, 0.2],
               "card": {"name": "tiny <&> pictures", "sample": {"shape": [1, 4, 4], "range": [-1, 1]}}}
    (tmp_path / "m.json").write_text(json.dumps(mixture))
    rng = np.random.default_rng(0)
    np.save(tmp_path / "real.npy", rng.integers(50, 200, (100, 4, 4, 1), dtype=np.uint8))
    (tmp_path / "peer.py").write_text(PEER)
    return ["mixture:m.json", "--ref", "real.npy", "--features", "pixels", "-n", 32, "--bootstrap", 20]


def cells(folder, times=False):
    rows = list(csv.DictReader(io.StringIO((folder / "cells.csv").read_text())))
    for row in rows if not times else []:
        for key in TIMES:
            del row[key]
    return rows


def peer(name, mode):
    return f"{name}={sys.executable} peer.py {mode}"


def test_tables(run, pictures, tmp_path):
    done = run("sweep", *pictures, "--solvers", "ddim deis:order=2@logsnr heun", "--nfe", "3,1", "--seeds", "4,9",
               "-o", "out")
    rows = cells(tmp_path / "out", times=True)
    assert len(rows) == 12 and [r["nfe"] for r in rows] == ["1"] * 6 + ["3"] * 6
    assert [r["seed"] for r in rows] == ["4", "9"] * 6
    refused = [r for r in rows if r["note"]]
    assert len(refused) == 2 and all(r["solver"] == "heun" and not r["fid"] for r in refused)
    for row in rows:
        assert (tmp_path / "out" / row["capsule"]).is_file()
        if not row["note"]:
            assert float(row["fid"]) > 0 and 0 < float(row["network_share"]) <= 1
    assert {r["spent_nfe"] for r in rows if r["solver"] == "heun" and r["nfe"] == "3"} == {"2"}
    pairs = list(csv.DictReader(io.StringIO((tmp_path / "out/comparisons.csv").read_text())))
    for nfe in "1", "3":
        group = [r for r in pairs if r["nfe"] == nfe]
        best = min(group, key=lambda r: float(r["fid"]))
        assert {r["baseline"] for r in group} == {f"{best['solver']}@{best['grid']}"}
        for r in group:
            low, high = float(r["low"]), float(r["high"])
            assert low <= float(r["difference"]) + 3 * float(r["difference_error"]) and low <= high
    assert "cells     12: 3 solvers x 2 budgets x 2 seeds (4,9) of 32 samples" in done.stdout
    assert "2 refused" in done.stdout and re.search(r"cost +\d+ evaluations at \d+/s", done.stdout)


def test_phase_space(run, pictures, tmp_path):
    """Pictures are positions; the nearer solver is told, and peers' cells are noted as refused."""
    psld = (*pictures, "--process", "psld")
    run("sweep", *psld, "--solvers", "deis:order=3,factor=flow sscs", "--nfe", 6, "-o", "out")
    flow, sscs = (float(r["fid"]) for r in cells(tmp_path / "out"))
    assert 0 < flow < sscs
    run("sweep", *psld, "--solvers", "sscs", "--nfe", 2, "--peer", peer("other", "half"), "-o", "peer")
    notes = {r["solver"]: r["note"] for r in cells(tmp_path / "peer")}
    assert not notes["sscs"] and "peers are not called in phase space" in notes["other"]


def test_distance_is_that_of_numpy(run, pictures, tmp_path):
    """The number of a cell, from the kept features and from the samples that "driftless sample" draws."""
    run("sweep", *pictures, "--solvers", "ddim", "--nfe", 3, "--seeds", 7, "-o", "out")
    row, = cells(tmp_path / "out")
    run("sample", "mixture:m.json", "-n", 32, "--solver", "ddim", "--nfe", 3, "--seed", 7, "-o", "s.npz")
    real = np.load(tmp_path / "real.npy").reshape(100, 16) / 127.5 - 1
    made = np.load(tmp_path / "s.npz")["arr_0"].reshape(32, 16) / 127.5 - 1
    kept = np.load(next(p for p in (tmp_path / "out/features").glob("ddim*.npy")))
    assert np.allclose(kept, made, atol=1e-6)
    a, b = np.cov(real.T), np.cov(made.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    expected = ((real.mean(0) - made.mean(0)) ** 2).sum() + np.trace(a + b) - 2 * roots
    assert float(row["fid"]) == pytest.approx(expected, rel=1e-5)


def test_killed_and_continued(program, run, pictures, tmp_path):
    """Killed at some moment, the same command ends in the same table; nothing is drawn twice."""
    words = [*pictures, "--solvers", "ddim deis:order=2 heun", "--nfe", "2,3,4", "--seeds", "0,1"]
    run("sweep", *words, "-o", "whole")
    process = subprocess.Popen([program, *map(str, ["sweep", *words, "-o", "cut"])], cwd=tmp_path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list((tmp_path / "cut/capsules").glob("*.json"))) < 5:
        time.sleep(0.001)
    process.kill()
    process.wait()
    capsules = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cut/capsules").glob("*.json")}
    assert capsules
    run("sweep", *words, "-o", "cut")
    for name, when in capsules.items():
        assert (tmp_path / "cut/capsules" / name).stat().st_mtime_ns == when
    assert cells(tmp_path / "cut") == cells(tmp_path / "whole")
    same = [(tmp_path / f / "comparisons.csv").read_text() for f in ("cut", "whole")]
    assert same[0] == same[1]


def test_interrupted(program, run, pictures, tmp_path):
    words = [program, "sweep", *map(str, pictures), "--solvers", "ddim", "--nfe", "4", "-n", "99999", "-o", "out"]
    del words[words.index("32") - 1:words.index("32") + 1]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(2000):
        if (tmp_path / "out/cells.csv").exists():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    if "report" not in out:
        assert process.returncode == INTERRUPTED and "the same command goes on" in err
    assert not list(tmp_path.glob("out/*/.driftless*"))


def test_same_starts_for_everyone(run, pictures, tmp_path):
    """A peer gets the states and labels that our own runs begin with."""
    run("sweep", *pictures, "--solvers", "ddim", "--nfe", 3, "--peer", peer("them", "keep"), "--seeds", 5, "-o", "out")
    run("sample", "mixture:m.json", "-n", 32, "--solver", "ddim", "--nfe", 3, "--seed", 5, "--trajectory", "t.npz",
        "-o", "s.npy")
    start = np.load(tmp_path / "t.npz")["states"][0]
    assert np.array_equal(np.load(tmp_path / "seen.npy"), start)
    assert np.array_equal(np.load(tmp_path / "seen-labels.npy"), np.arange(32) % 2)
    rows = cells(tmp_path / "out")
    assert [r["program"] for r in rows] == ["driftless", "peer"] and all(r["fid"] for r in rows)
    assert rows[1]["solver"] == "them"
    words = (tmp_path / "seen.txt").read_text().split()
    assert words[words.index("--model") + 1] == f"mixture:{tmp_path}/m.json"
    assert not list(tmp_path.glob("out/peer-*"))


def test_peers_that_fail_leave_a_note(run, pictures, tmp_path):
    peers = [peer("three", "fails"), peer("nan", "nan"), peer("short", "short"), "gone=/nowhere/program"]
    run("sweep", *pictures, "--solvers", "ddim", "--nfe", "2,3", "--peer", "; ".join(peers), "-o", "out")
    notes = {(r["solver"], r["nfe"]): r["note"] for r in cells(tmp_path / "out")}
    assert notes["three", "2"] == "" and "three evaluations are too many" in notes["three", "3"]
    assert "sample 3 is not finite" in notes["nan", "2"] and "float32 [32]" in notes["short", "2"]
    assert "cannot be started" in notes["gone", "3"] and notes["ddim", "3"] == ""
    assert "three evaluations are too many" in (tmp_path / "out/report.html").read_text()


def test_peer_beside_guidance_is_refused(run, pictures):
    done = run("sweep", *pictures, "--peer", peer("x", "keep"), "--nfe", 2, "--classifier-guidance", 2, "-o", "out",
               ok=False)
    assert done.returncode == USAGE and "guidance" in done.stderr


class Links(HTMLParser):
    """What a page would load, and tags that are not closed."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action", "srcset", "data")]
        if tag in ("link", "script", "iframe", "object"):
            self.found.append(tag)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag


def test_report_needs_nothing_else(run, pictures, tmp_path):
    run("sweep", *pictures, "--solvers", "ddim heun", "--nfe", "1,4", "--peer", peer("them", "keep"), "-o", "out")
    page = (tmp_path / "out/report.html").read_text()
    links = Links()
    links.feed(page)
    assert not links.open
    assert all(x.startswith(("data:image/png;base64,", "#")) for x in links.found)
    assert sum(x.startswith("data:") for x in links.found) == 5  # heun refuses one evaluation
    assert "url(" not in page.replace("url('#", "").replace("url(#", "") and "@import" not in page
    outside = [x for x in re.findall(r"https?://[^\s\"'<]+", page) if not x.startswith("http://www.w3.org/")]
    assert outside == []
    assert "tiny &lt;&amp;&gt; pictures" in page and "<&>" not in page
    assert "prefers-color-scheme:dark" in page and 'name="viewport"' in page and "<svg" in page
    for cell in cells(tmp_path / "out"):
        if cell["fid"]:
            assert f"{float(cell['fid']):.2f}" in page
    assert (tmp_path / "out/plot.png").read_bytes()[:4] == b"\x89PNG"


def test_small_distances_can_be_read(run, pictures, tmp_path):
    """The folder begins with a dash, which gnuplot must not take for an option."""
    shown = run("sweep", *pictures[:-1], 200, "--solvers", "deis:order=2 deis:order=3 ddim", "--nfe", 9, "-o",
                "-dash").stdout
    rows = list(csv.DictReader(io.StringIO((tmp_path / "-dash/comparisons.csv").read_text())))
    table = {line.split()[-1]: line.split() for line in shown[shown.index("  nfe  distance"):].splitlines()}
    for row in rows:
        line = table[f"{row['solver']}@{row['grid']}"]
        assert float(line[1]) == pytest.approx(float(row["fid"]), rel=0.01)
        if line[2] != "baseline":
            low, high = map(float, line[2].split(".."))
            larger = max(abs(float(row["low"])), abs(float(row["high"])))
            assert [low, high] == pytest.approx([float(row["low"]), float(row["high"])], abs=0.1 * larger)
            assert "-0.0.." not in line[2] and len(line[2]) <= 14
    assert (tmp_path / "-dash/plot.svg").exists()


def test_start_is_told(run, pictures):
    """Of plain noise below t = 1, as by sample; eval of a model says the same."""
    sweep = ("sweep", *pictures, "--solvers", "ddim", "--nfe", 2, "-o", "out", "--dry-run")
    evaluation = ("eval", "model:mixture:m.json", "-n", 8, "--steps", 2, *pictures[1:5])
    for words in sweep, evaluation:
        said = run(*words, "--t-start", 0.3).stderr
        assert "start at t = 0.3" in said and "stand out of plain noise" in said
        assert not run(*words, "--t-start", 0.3, "-q").stderr and not run(*words).stderr


def test_without_gnuplot(run, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run("sweep", *pictures, "--solvers", "ddim", "--nfe", 2, "-o", "out", env={"PATH": str(tmp_path / "empty")})
    assert "no plot: gnuplot is not installed" in done.stderr
    assert "<svg" not in (tmp_path / "out/report.html").read_text()


def test_capsule_is_repeated(run, pictures, tmp_path):
    """By a stranger, who has the files elsewhere; and a changed number is found out."""
    run("sweep", *pictures, "--solvers", "deis:order=2", "--nfe", 3, "--peer", peer("them", "keep"), "-o", "out")
    ours, theirs = [tmp_path / "out" / r["capsule"] for r in cells(tmp_path / "out")]
    (tmp_path / "else").mkdir()
    for name in "m.json", "real.npy":
        (tmp_path / name).rename(tmp_path / "else" / name)
    gone = run("sweep", "--rerun", ours, ok=False)
    assert gone.returncode in (FAILURE, MODEL)
    words = ["sweep", "mixture:else/m.json", "--ref", "else/real.npy", "--rerun"]
    for path, options in (ours, []), (theirs, ["--peer", peer("them", "keep")]):
        done = run(*words, path, *options)
        assert "bit for bit" in done.stdout and str(json.loads(path.read_text())["result"]["fid"]) in done.stdout
    capsule = json.loads(ours.read_text())
    capsule["result"]["fid"] *= 1.001
    ours.write_text(json.dumps(capsule))
    done = run(*words, ours, ok=False)
    assert done.returncode == FAILURE and "the numbers differ" in done.stderr
    other = json.loads((tmp_path / "else/m.json").read_text())
    other["stds"] = [0.2, 0.21]
    (tmp_path / "else/m.json").write_text(json.dumps(other))
    done = run(*words, theirs, "--peer", peer("them", "keep"), ok=False)
    assert done.returncode == USAGE and "another model" in done.stderr


def test_capsule_starts_no_program_unasked(run, pictures, tmp_path):
    """A capsule is a stranger's file: its command runs only if the caller gives the same one."""
    run("sweep", *pictures, "--solvers", "ddim", "--nfe", 3, "--peer", peer("them", "keep"), "-o", "out")
    ours, theirs = [tmp_path / "out" / r["capsule"] for r in cells(tmp_path / "out")]
    trace = tmp_path / "seen.txt"
    trace.unlink()
    for options in [], ["--peer", peer("them", "short")], ["--peer", peer("me", "keep")]:
        done = run("sweep", "--rerun", theirs, *options, ok=False)
        assert done.returncode == USAGE and "would start a program" in done.stderr
        assert peer("them", "keep").replace("'", "") in done.stderr and done.stderr.count("\n") == 1
        assert not trace.exists()
    for options in (peer("me", "keep"), peer("them", "keep")), (peer("them", "keep"), " "):
        done = run("sweep", "--rerun", theirs, "--peer", "; ".join(options))  # the list that made the sweep
        assert "bit for bit" in done.stdout
    done = run("sweep", "--rerun", ours, "--peer", peer("them", "keep"), ok=False)
    assert done.returncode == USAGE and "a plan did" in done.stderr


def test_table_stands_apart_from_the_bars(program, pictures, tmp_path):
    """On a terminal the bars of cells and intervals are erased before anything else is printed there."""
    master, slave = pty.openpty()
    words = map(str, [program, "sweep", *pictures[:-1], 4000, "--solvers", "ddim heun", "--nfe", 8, "-o", "out"])
    child = subprocess.Popen([*words], cwd=tmp_path, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    try:
        while more := os.read(master, 4096):
            seen += more
    except OSError:
        pass  # the end of a terminal
    os.close(master)
    assert child.wait(timeout=60) == 0
    assert re.search(rb"\d+/8000 .*ETA", seen)  # the intervals have a bar
    screen = []
    for line in seen.decode().replace("\r\n", "\n").split("\n"):
        screen.append("")
        for part in line.split("\r"):
            screen[-1] = part + screen[-1][len(part):]
    assert not [line for line in screen if "ETA" in line]
    assert "  nfe  distance  +- sd     against baseline  solver@grid" in [line.rstrip() for line in screen]


def test_dry_run_writes_nothing(run, pictures, tmp_path):
    done = run("sweep", *pictures, "--solvers", "ddim", "--nfe", "5,10", "--size", "medium", "-o", "out", "--dry-run")
    assert "cells     6: 1 solver x 2 budgets x 3 seeds (0,1,2) of 32 samples" in done.stdout
    assert "cost      1440 evaluations at" in done.stdout and "disk" in done.stdout
    assert re.search(r"^intervals 120 replicates at [\d.]+/s: about \d+ s$", done.stdout, re.M)
    assert not (tmp_path / "out").exists()
    run("sweep", *pictures, "--solvers", "ddim", "--nfe", 5, "-o", "out")
    done = run("sweep", *pictures, "--solvers", "ddim", "--nfe", 5, "-o", "out")  # nothing but intervals is left
    assert "intervals 20 replicates at" in done.stdout and "cost " not in done.stdout
    done = run("sweep", *pictures[:-1], 0, "--solvers", "ddim", "--nfe", 5, "-o", "out")
    assert "intervals" not in done.stdout


def test_sizes(run, pictures):
    words = [w for w in pictures if w not in ("-n", 32)]
    for size, said in ("screen", "1 seed (0) of 1000"), ("medium", "3 seeds (0,1,2) of 2000"), ("final", "of 10000"):
        done = run("sweep", *words, "--solvers", "ddim", "--nfe", 1, "--size", size, "-o", "out", "--dry-run")
        assert said in done.stdout


def test_statistics_as_reference(run, pictures, tmp_path):
    """mu and sigma alone give the same distance; statistics of another extractor are refused."""
    real = np.load(tmp_path / "real.npy").reshape(100, 16) / 127.5 - 1
    np.savez(tmp_path / "real.npz", mu=real.mean(0), sigma=np.cov(real.T))
    run("sweep", *pictures, "--solvers", "ddim", "--nfe", 3, "-o", "a")
    words = ["real.npz" if w == "real.npy" else w for w in pictures]
    run("sweep", *words, "--solvers", "ddim", "--nfe", 3, "-o", "b")
    (a,), (b,) = cells(tmp_path / "a"), cells(tmp_path / "b")
    assert float(b["fid"]) == pytest.approx(float(a["fid"]), rel=1e-5) and a["kid"] and not b["kid"]
    np.savez(tmp_path / "real.npz", mu=np.zeros(3), sigma=np.eye(3))
    done = run("sweep", *words, "--solvers", "ddim", "--nfe", 3, "-o", "c", ok=False)
    assert "3 features" in done.stderr
    np.save(tmp_path / "one.npy", np.load(tmp_path / "real.npy")[:1])
    run("eval", "one.npy", "--features", "pixels", "-o", "one.npz", "-q")
    for reference in "one.npz", "one.npy":
        words[words.index("--ref") + 1] = reference
        done = run("sweep", *words, "--solvers", "ddim", "--nfe", 3, "-o", "c", ok=False)
        assert done.returncode == USAGE and f"{reference}: a reference needs two pictures at least" in done.stderr


@pytest.mark.parametrize("change, code, says", [
    (["-n", "33"], USAGE, "number of samples"), (["--seeds", "1"], USAGE, "list of seeds"),
    (["--t-end", "0.01"], USAGE, "last time"), (["--class", "1"], USAGE, "another class"),
    (["--classifier-guidance", "2"], USAGE, "another model"),
])
def test_another_sweep_in_the_folder_is_refused(run, pictures, tmp_path, change, code, says):
    run("sweep", *pictures, "--solvers", "ddim", "--nfe", 2, "-o", "out")
    before = (tmp_path / "out/sweep.json").read_bytes()
    words = [w for w in pictures if not (change[0] == "-n" and w in ("-n", 32))]
    done = run("sweep", *words, *change, "--solvers", "ddim", "--nfe", 2, "-o", "out", ok=False)
    assert done.returncode == code and says in done.stderr
    assert (tmp_path / "out/sweep.json").read_bytes() == before


def test_other_plans_of_the_same_name_are_refused(run, pictures, tmp_path):
    """A grid is read from a file that changes: old numbers and new ones are not put in one table."""
    words = ["sweep", *pictures, "--solvers", "ddim@file:path=times.txt", "-o", "out", "--nfe"]
    (tmp_path / "times.txt").write_text("1 0.5 0.2 0.001\n")
    run(*words, 3)
    before = cells(tmp_path / "out")
    (tmp_path / "times.txt").write_text("1 0.9 0.8 0.001\n")
    done = run(*words, 3, ok=False)
    assert done.returncode == USAGE and "was drawn by another plan than this solver has now" in done.stderr
    assert cells(tmp_path / "out") == before
    (tmp_path / "times.txt").write_text("1 0.5 0.2 0.001\n")
    run(*words, "2,3")  # as it was; with two steps there is no such grid
    rows = cells(tmp_path / "out")
    assert rows[1:] == before and rows[0]["note"]
    capsule, = (tmp_path / "out/capsules").glob("*nfe3*.json")
    kept = json.loads(capsule.read_text())
    kept["plan"]["meta"]["version"] = "9.9"  # another program's, which came to the same plan
    capsule.write_text(json.dumps(kept))
    run(*words, 3)


@pytest.mark.parametrize("options, says", [
    (["--nfe", "2"], "--solvers"), (["--solvers", "ddim"], "--nfe"),
    (["--solvers", "ddim", "--nfe", "2,"], "--nfe"), (["--solvers", "ddim", "--nfe", "x"], "--nfe"),
    (["--solvers", "ddim", "--nfe", "0"], "one evaluation"), (["--solvers", "ddim", "--nfe", "100001"], "--nfe"),
    (["--solvers", "ddim", "--nfe", "2", "--seeds", "1,1"], "twice"),
    (["--solvers", "ddim", "--nfe", "2", "--seeds", "-1"], "--seeds"),
    (["--solvers", "ddim ddim", "--nfe", "2"], "twice"), (["--solvers", " ", "--nfe", "2"], "no solver"),
    (["--solvers", "diem", "--nfe", "2"], "ddim"), (["--solvers", "ddim@logsn", "--nfe", "2"], "logsnr"),
    (["--solvers", "ddim:order=2", "--nfe", "2"], "order"), (["--solvers", "ddim@", "--nfe", "2"], "SOLVER@GRID"),
    (["--solvers", "ode45", "--nfe", "2"], "ode45"), (["--solvers", "ddim", "--nfe", "2", "--class", "3"], "class"),
    (["--solvers", "ddim", "--nfe", "2", "--baseline", "heun"], "--baseline"),
    (["--solvers", "ddim conjugate:lambda=auto", "--nfe", "2"], "auto is for sample"),
    (["--solvers", "ddim", "--nfe", "2", "--grid", "auto"], "auto is for sample"),
    (["--solvers", "ddim", "--nfe", "2", "--peer", "x"], "NAME=PROGRAM"),
    (["--nfe", "2", "--peer", "a,b=x"], "without blanks and @ , ; \""), (["--nfe", "2", "--peer", ";"], "no program"),
    (["--solvers", "ddim", "--nfe", "2", "--rerun", "c.json"], "--rerun"),
    (["--solvers", "ddim", "--nfe", "2", "--size", "huge"], "screen|medium|final"),
])
def test_refusals(run, pictures, tmp_path, options, says):
    done = run("sweep", *pictures, *options, "-o", "out", ok=False)
    assert done.returncode == USAGE and says in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_samples_that_are_no_pictures_are_refused(run, pictures, tmp_path):
    flat = json.loads((tmp_path / "m.json").read_text())
    del flat["card"]["sample"]
    (tmp_path / "m.json").write_text(json.dumps(flat))
    done = run("sweep", *pictures, "--solvers", "ddim", "--nfe", 2, "-o", "out", ok=False)
    assert done.returncode == USAGE and "pictures" in done.stderr
