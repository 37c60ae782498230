"""What would be ignored, or is for other commands, is refused before anything is read."""

from pathlib import Path

import pytest

USAGE = 2
FLAT = f"mixture:{Path(__file__).resolve().parents[1]}/data/mixture2d.json"
OUT = ["-o", "x.npy"]

REFUSED = [
    (["sample", FLAT, *OUT, "--dynamic-thresholding-ratio", "0.9"], "goes with --thresholding"),
    (["plan", FLAT, "--sample-max-value", "2"], "goes with --thresholding"),
    (["sample", FLAT, *OUT, "--tuned", "none.json"], "neither --solver nor --grid"),
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
