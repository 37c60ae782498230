"""What would be ignored, or is for other commands, is refused before anything is drawn."""

import re
from pathlib import Path

import numpy as np
import pytest

USAGE = 2
FLAT = f"mixture:{Path(__file__).resolve().parents[1]}/data/mixture2d.json"
OUT = ["-o", "x.npy"]

REFUSED = [
    (["sample", FLAT, *OUT, "--dynamic-thresholding-ratio", "0.9"], "goes with --thresholding"),
    (["plan", FLAT, "--sample-max-value", "2"], "goes with --thresholding"),
    (["sample", FLAT, *OUT, "--tuned", "none.json"], "neither --solver nor --grid"),
    (["sample", "", *OUT], "a word there is empty"),
    (["sample", FLAT, *OUT, "--columns", "3"], "goes with a .png"),
    (["sample", FLAT, *OUT, "--float"], "goes with an .npz"),
    (["prior", "sample", "none.npz", *OUT, "--process", "ve"], "goes with --t-start"),
    *[([*words, "auto"], f"{words[-1]}: auto is for sample, plan and eval") for words in (
        ["doctor", FLAT, "--solver"], ["doctor", FLAT, "--grid"], ["stats", FLAT, "-o", "s.json", "--grid"],
        ["fit", FLAT, "--steps", "2", "-o", "f.json", "--grid"],
        ["fit", FLAT, "--steps", "2", "-o", "f.json", "--teacher-grid"])],
    (["doctor", FLAT, "--tuned", "t.json"], "no option --tuned"),
    (["doctor", FLAT, "--solver", "conjugate:lambda=auto,type=2"], "auto is for sample"),
]


@pytest.mark.parametrize("arguments, word", REFUSED, ids=[" ".join(a[:1] + a[2:])[:60] for a, _ in REFUSED])
def test_refusals(run, tmp_path, arguments, word):
    done = run(*arguments, ok=False)
    assert done.returncode == USAGE and word in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options, word", [
    (["--noise", "start.npz"], "start.npz holds start states in noise, but --init gives them"),
    (["--save-noise", "n.npz", "--json", "r.json"], "--save-noise: this run draws no numbers"),
])
def test_noise_beside_given_states(run, tmp_path, options, word):
    np.save(tmp_path / "init.npy", np.zeros((2, 2)))
    np.savez(tmp_path / "start.npz", start=np.zeros((2, 2)))
    done = run("sample", FLAT, "--init", "init.npy", *options, *OUT, ok=False)
    assert done.returncode == USAGE and word in done.stderr and done.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["init.npy", "start.npz"]
    run("sample", FLAT, "--init", "init.npy", "--solver", "ddpm", "--save-noise", "n.npz", *OUT)
    assert np.load(tmp_path / "n.npz").files == ["noise"]


def test_pages_fit_a_terminal(run):
    """Help, lists, the summary of a run with options of some length, the combinations of plans."""
    commands = re.findall(r"^  (\w+) ", run("help").stdout.split("commands:")[1], re.M)
    pages = [run("help", c).stdout for c in commands] + [run(c).stdout for c in ("grids", "processes")]
    pages.append(run("sample", FLAT, "-n", 2, "--solver", "deis:order=3", "--steps", 4, *OUT).stdout)
    pages += [run("plan", "--process", process, "--solver", solver, "--steps", 5).stdout.split("\n\n", 1)[1]
              for process, solver in (("vp_linear", "deis:order=4"), ("ve", "unipc:order=3"),
                                      ("psld", "deis:order=3"), ("psld", "conjugate_splitting"))]
    assert len(pages) > 15 and not [line for page in pages for line in page.splitlines() if len(line) > 80]
