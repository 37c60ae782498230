"""Samplers of other programs on the shipped network: where they mean what ours do, the samples are ours; and
evaluations are counted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "fashion-vp"
SAMPLES, NFE, T_END = 3, 4, 1e-3
sys.path.insert(0, str(ROOT / "scripts"))

import sweep_peer  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(5).normal(size=(SAMPLES, 1, 28, 28)).astype(np.float32))
    np.save(tmp_path / "y.npy", np.arange(SAMPLES))  # as ours are labelled
    return tmp_path


@pytest.fixture
def peer(folder, monkeypatch):
    def call(name, nfe=NFE, **more):
        options = {"model": MODEL, "start": folder / "x.npy", "labels": folder / "y.npy", "nfe": nfe, "t-end": T_END,
                   "output": folder / "peer.npy", **more}
        monkeypatch.setattr(sys, "argv", ["sweep_peer", name, *(f"--{k}={v}" for k, v in options.items())])
        sweep_peer.main()
        return np.load(folder / "peer.npy")

    return call


def ours(folder, solver, grid):
    program = os.environ.get("DRIFTLESS", ROOT / "build/release/driftless")
    subprocess.run([program, "sample", MODEL, "--init", folder / "x.npy", "--solver", solver, "--grid", grid,
                    "--nfe", str(NFE), "--t-end", str(T_END), "--microbatch", "32", "-q", "-o", folder / "ours.npy"],
                   check=True)
    return np.load(folder / "ours.npy")


@pytest.mark.parametrize("name, solver, grid", [
    ("diffusers-ddim", "ddim", "list:times=[1,0.75,0.5,0.25,0.001]"),
    ("diffusers-dpmpp-2m", "dpm:order=2", "list:times=[1,0.75,0.5,0.25,0.001]"),
    ("azula-ddim", "ddim", "uniform"),
    ("azula-zab-2", "deis:kind=rhoab,order=1", "uniform"),
    ("k-euler", "euler:variable=rho", "karras"),
    ("k-dpmpp-2m", "dpm:order=2,lower_order_final=0", "karras"),
])
def test_equals_ours(peer, folder, name, solver, grid):
    if name.startswith(("azula", "k-")):
        pytest.importorskip("azula" if name.startswith("azula") else "torchsde")
    found, mine = peer(name), ours(folder, solver, grid)
    assert np.abs(found - mine).max() < 2e-3, np.abs(found - mine).max()
    assert found.std() > 0.1  # of pictures


def test_follows_labels(peer, folder):
    first = peer("diffusers-ddim")
    np.save(folder / "y.npy", np.arange(SAMPLES)[::-1].copy())
    other = peer("diffusers-ddim")
    apart = np.abs(first - other).max(axis=(1, 2, 3))
    assert apart[0] > 0.1 and apart[1] < 1e-4 and apart[2] > 0.1


@pytest.mark.parametrize("name, nfe, word", [
    ("diffusers-heun", 4, "odd number"),
    ("k-heun", 5, "2 evaluations per step"),
    ("azula-heun", 5, "2 evaluations per step"),
    ("diffusers-nothing", 5, "no sampler diffusers-nothing"),
])
def test_refuses(peer, folder, name, nfe, word):
    with pytest.raises(SystemExit, match=word):
        peer(name, nfe)
    assert not (folder / "peer.npy").exists()


def test_counts(peer, folder, monkeypatch):
    """A sampler that spends another number of evaluations is found out."""
    run = sweep_peer.PROGRAMS["diffusers"][1]
    monkeypatch.setitem(sweep_peer.PROGRAMS, "diffusers",
                        (sweep_peer.DIFFUSERS, lambda name, model, x, nfe, *more: run(name, model, x, nfe - 1, *more)))
    with pytest.raises(SystemExit, match="spent 3 evaluations, not 4"):
        peer("diffusers-ddim")
    assert not (folder / "peer.npy").exists()


def test_bad_files(peer, folder):
    with pytest.raises(SystemExit, match="cannot be read"):
        peer("diffusers-ddim", start=folder / "none.npy")
    np.save(folder / "y.npy", np.arange(SAMPLES + 1))
    with pytest.raises(SystemExit, match=r"\[n\]\[C\]\[H\]\[W\]"):
        peer("diffusers-ddim")
