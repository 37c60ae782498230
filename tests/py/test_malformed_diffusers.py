"""Folders of diffusers from a stranger: links that lead out, damaged graphs and configurations."""

import json
from pathlib import Path

import numpy as np
import pytest

import foreign

MODEL = 3
DDIM = {"_class_name": "DDIMScheduler"}


def test_links_out_of_the_folder(run, tmp_path):
    folder, other = (Path(foreign.folder(tmp_path / name, DDIM)) for name in ("one", "other"))
    for name in ("scheduler/scheduler_config.json", "unet/model.onnx", "unet/config.json"):
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).symlink_to(other / name)
        assert run("info", folder, ok=False).returncode == MODEL
        (folder / name).unlink()
        (folder / name).write_bytes(kept)
    run("info", folder)


def test_damaged_graphs(run, tmp_path):
    """Every cut and many flipped bytes of a network's file: refused or read, never worse."""
    folder = Path(foreign.folder(tmp_path / "model", DDIM, np.zeros(8)))
    file = folder / "unet/model.onnx"
    whole = file.read_bytes()
    generator = np.random.default_rng(1)
    for cut in range(0, len(whole), 41):
        file.write_bytes(whole[:cut])
        assert run("info", folder, "--card", ok=False).returncode == MODEL
    for _ in range(40):
        data = bytearray(whole)
        for at in generator.integers(len(data), size=3):
            data[at] = generator.integers(256)
        file.write_bytes(bytes(data))
        assert run("info", folder, "--card", ok=None).returncode in (0, MODEL)


@pytest.mark.parametrize("sigmas", [{"sigma_max": 0}, {"sigma_min": 0}, {"sigma_min": -1}, {"sigma_min": 80}])
def test_sigmas_of_edm(run, tmp_path, sigmas):
    folder = foreign.folder(tmp_path / "model", {"_class_name": "EDMEulerScheduler", **sigmas}, np.zeros(8))
    said = run("info", folder, ok=False).stderr
    assert "scheduler_config.json: " in said and '"sigma_min" is' in said and "the second larger" in said


@pytest.mark.parametrize("shift", [3, 1000, 0, -1])
@pytest.mark.parametrize("name", ["UniPCMultistepScheduler", "DPMSolverMultistepScheduler"])
def test_flow_shift_is_left_out(run, tmp_path, name, shift):
    """Whatever it is; the times are those without it."""
    config = {"_class_name": name, "use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    plain = foreign.folder(tmp_path / "plain", config, np.zeros(8))
    folder = foreign.folder(tmp_path / "model", {**config, "flow_shift": shift}, np.zeros(8))
    card, same = (json.loads(run("info", path, "--card").stdout) for path in (folder, plain))
    assert "flow_shift is left out" in card["sampler_differs"]
    assert [card[k] for k in ("t_min", "sampler")] == [same[k] for k in ("t_min", "sampler")]


def test_damaged_configurations(run, tmp_path):
    """Any value in the place of any key, and cut texts."""
    folder = Path(foreign.folder(tmp_path / "model", DDIM))
    for name in ("scheduler/scheduler_config.json", "unet/config.json"):
        file = folder / name
        whole = json.loads(file.read_text())
        whole.setdefault("beta_start", 1e-4)
        for key in whole:
            for value in ([], {}, "", -1, 1e300, 2**62, True, [1e-4] * 3, "-Infinity"):
                file.write_text(json.dumps({**whole, key: value}))
                assert run("info", folder, "--card", ok=None).returncode in (0, MODEL)
        for cut in range(0, len(json.dumps(whole)), 7):
            file.write_text(json.dumps(whole)[:cut])
            assert run("info", folder, "--card", ok=False).returncode == MODEL
        file.write_text(json.dumps(whole))
