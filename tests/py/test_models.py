"""Every shipped network: its folder is complete, the doctor finds nothing, and 64 pictures of 10 evaluations by
its fitted plan look like its data. All draw Fashion-MNIST: distances were 0.78 to 1.10, those of real pictures are 0.91 to 1.63 (fashion.py).
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import fashion

MODELS = Path(__file__).resolve().parents[2] / "models"
FOLDERS = sorted(path.parent.name for path in MODELS.glob("*/model.json"))
BOUND = 2.0


@pytest.fixture(scope="module")
def reference():
    return fashion.reference()


@pytest.fixture
def card():
    return lambda name: json.loads((MODELS / name / "model.json").read_text())


def test_their_size():
    """A clone and an installation have them all."""
    assert sum(path.stat().st_size for path in MODELS.glob("*/*.onnx")) < 40e6


@pytest.mark.parametrize("name", FOLDERS)
def test_page(name, card):
    """Licence, data and training are told, and what the page shows is there."""
    assert {"license", "data", "training"} <= set(card(name))
    page = (MODELS / name / "README.md").read_text()
    for file in ("samples.png", "loss.csv", "loss.svg"):
        assert file in page and (MODELS / name / file).is_file()
    assert "Held-out loss" in page and card(name)["license"] in page


@pytest.mark.parametrize("name", FOLDERS)
def test_doctor(run, name, card):
    """Nothing is found, but that networks of shorter times are no good without a prior."""
    told = run("doctor", MODELS / name, ok=None)
    found = re.findall(r"^(?:error|warning) +(\w+):", told.stdout, re.M)
    assert found == (["start"] if card(name)["t_max"] < 0.9 else [])
    assert told.returncode == 0 or found


@pytest.mark.parametrize("name", FOLDERS)
def test_plans(name, card):
    """Each comes with plans fitted to its network, which err less the more they evaluate."""
    errors = []
    for nfe in (2, 3, 4, 5, 6, 8, 10):
        plan = json.loads((MODELS / name / "plans" / f"fitted-{nfe}.json").read_text())
        assert plan["meta"]["model"] == card(name)["network"]["sha256"] and plan["counts"]["nfe"] == nfe
        assert plan["meta"]["command"].startswith(f"driftless fit models/{name} --steps {nfe} ")
        errors.append(float(plan["meta"]["held_out_rms"]))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.4 * errors[0]


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/plans/*.json")), ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_command_of_a_plan(path, card):
    """Can be typed from the root of the project, and writes this file; the plan is of this network."""
    meta = json.loads(path.read_text())["meta"]
    name = path.relative_to(MODELS)
    assert meta["model"] == card(name.parts[0])["network"]["sha256"]
    assert meta["command"].endswith(f" -o models/{name}") and " /" not in meta["command"]


def start(card):
    """Networks of shorter times begin at the largest of theirs, from a density."""
    return [] if card["t_max"] > 0.9 else ["--prior", MODELS / "fashion-prior" / "prior.npz"]


@pytest.mark.parametrize("name", FOLDERS)
def test_pictures(run, name, card, reference, tmp_path):
    done = run("sample", MODELS / name, "-n", fashion.COUNT, "--solver", "auto", "--nfe", 10, *start(card(name)),
               "-o", tmp_path / "x.npy")
    assert "plans/fitted-10.json, fitted to this model" in done.stderr
    images = np.load(tmp_path / "x.npy")
    assert images.shape == (fashion.COUNT, 1, 28, 28)
    found = fashion.distance(images[:, 0].astype(float), reference)
    print(f"{name}: {found:.2f}")
    assert found < BOUND
