"""Outputs: apart from each other and from what is read, named by what they hold, whatever becomes of the streams."""

import json
import os
import subprocess

import numpy as np
import pytest

USAGE = 2
FLAT = "mixture:m.json"


@pytest.fixture(autouse=True)
def files(tmp_path):
    """A mixture in the plane and one of pictures of 2 x 2, data of both, a folder's second name."""
    flat = {"format": "driftless-mixture/1", "weights": [1], "means": [[0.5, -0.5]], "stds": [0.3]}
    card = {"sample": {"shape": [1, 2, 2], "range": [-1, 1]}}
    (tmp_path / "m.json").write_text(json.dumps(flat))
    (tmp_path / "p.json").write_text(json.dumps({**flat, "means": [[0.1, 0.2, 0.3, 0.4]], "card": card}))
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(0.5, 0.3, (40, 2)))
    np.save(tmp_path / "real.npy", rng.integers(50, 200, (40, 2, 2, 1), dtype=np.uint8))
    (tmp_path / "again").symlink_to(tmp_path)


# ---- two files at one path -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, says", [
    (["sample", FLAT, "-o", "o1.npz", "--trajectory", "./o1.npz"], "--trajectory: ./o1.npz is already another output"),
    (["sample", FLAT, "-o", "o1.npz", "--trajectory", "again/o1.npz"], "already another output"),
    (["sample", FLAT, "-o", "o.npy", "--save-noise", "n.npz", "--trajectory", "again/../{}/n.npz"], "another output"),
    (["sample", FLAT, "-o", "again/x.npy", "--init", "x.npy"], "what --init names to be read"),
    (["sample", FLAT, "-o", "o.npy", "--json", "m.json"], "m.json is to be read"),
    (["likelihood", FLAT, "x.npy", "--latents", "again/x.npy"], "again/x.npy is to be read"),
    (["eval", "model:mixture:p.json", "-n", 8, "--features", "pixels", "--ref", "real.npy", "--features-out",
      "./real.npy"], "what --ref names to be read"),
])
def test_no_path_is_used_twice(run, tmp_path, arguments, says):
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    done = run(*[str(a).format(tmp_path.name) for a in arguments], ok=False)
    assert done.returncode == USAGE and says in done.stderr and done.stderr.count("\n") == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_devices_may_be_named_twice(run, tmp_path):
    run("sample", FLAT, "-n", 2, "-o", "o.npy", "--trajectory", "/dev/null", "--save-noise", "/dev/null", "--json",
        "/dev/null")
    assert np.load(tmp_path / "o.npy").shape == (2, 2)


def test_merging_in_place(run, tmp_path):
    """What is merged is read before it is written."""
    words = ("eval", "model:mixture:p.json", "--features", "pixels", "-q", "-n")
    run(*words, 512, "-o", "a.npz")
    run(*words, 100, "--first", 512, "-o", "b.npz")
    run("eval", "merge", "a.npz", "b.npz", "-o", "./a.npz")
    run(*words, 612, "-o", "whole.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    for first, name in (0, "a.json"), (4, "b.json"):
        run("stats", FLAT, "-n", 4, "--first", first, "--nfe", 20, "-o", name)
    run("stats", "merge", "a.json", "b.json", "-o", "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["samples"] == 8


# ---- closed streams ------------------------------------------------------------------------------------------


def closed(program, tmp_path, fd):
    words = [program, "sample", FLAT, "-n", "4", "--t-start", "0.5", "-o", "o.npy"]
    return subprocess.run(words, cwd=tmp_path, preexec_fn=lambda: os.close(fd)).returncode


def test_closed_streams(program, tmp_path):
    """The file that is opened next takes the number of a closed stream, and must not get its sentences."""
    assert closed(program, tmp_path, 2) == 0
    assert (tmp_path / "o.npy").stat().st_size == 128 + 4 * 2 * 4
    assert np.isfinite(np.load(tmp_path / "o.npy")).all()
    assert closed(program, tmp_path, 1) == 1


# ---- endings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, ending", [
    (["sample", FLAT, "-o", "o.npy", "--trajectory", "t.txt"], ".npz"),
    (["sample", FLAT, "-o", "o.npy", "--save-noise", "t.npy"], ".npz"),
    (["prior", "fit", "x.npy", "--kind", "gauss", "-o", "t.npy"], ".npz"),
    (["prior", "sample", "none.npz", "-o", "t.npz"], ".npy"),
    (["prior", "logp", "none.npz", "x.npy", "-o", "t.npz"], ".npy"),
    (["eval", "real.npy", "--features", "pixels", "-o", "t.txt"], ".npz"),
    (["eval", "real.npy", "--features", "pixels", "--features-out", "t.npz"], ".npy"),
    (["eval", "merge", "a.npz", "b.npz", "-o", "t.npy"], ".npz"),
])
def test_names_end_as_the_content_wants(run, tmp_path, arguments, ending):
    before = sorted(tmp_path.iterdir())
    done = run(*arguments, ok=False)
    assert done.returncode == USAGE and done.stderr.count("\n") == 1
    assert f"the output's name must end in {ending}" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_one_sample_has_no_error(run, tmp_path):
    run("prior", "fit", "x.npy", "--kind", "gauss", "-q", "-o", "prior.npz")
    np.save(tmp_path / "one.npy", np.zeros((1, 2)))
    said = run("prior", "logp", "prior.npz", "one.npy").stdout
    assert "nats, of 1 sample\n" in said and "error" not in said
    assert run("prior", "logp", "prior.npz", "x.npy").stdout.count("std. error") == 2
    done = run("prior", "sample", "prior.npz", "--label", 3, "-o", "s.npy", ok=False)
    assert done.returncode == USAGE and "--label: this prior has no classes" in done.stderr
