"""Derivatives as graphs against autograd: classifier gradients and Jacobian-vector products."""

import hashlib
import json

import pytest
import torch
from torch.nn import functional as F

from driftless_train import checkpoint, cli, dual, export, features, gradient, graph
from driftless_train.circle import wide
from driftless_train.config import ConfigError
from driftless_train.loop import Trainer
from test_export import PSLD, SHAPE
from test_features import SMALL
from test_process import PAIRS

onnx = pytest.importorskip("onnx")


def shaken(state, size=0.2):
    """The checkpoint dictionary with every averaged weight moved at random."""
    draws = torch.Generator().manual_seed(3)
    for p in state["ema"].values():
        p.add_(size * torch.randn(p.shape, generator=draws))
    return state


@pytest.fixture
def noisy(make):
    """noisy(process, ...) -> checkpoint dictionary of a classifier of noisy images."""
    def build(process, **changes):
        config = make(kind="classifier", process=process,
                      classifier={**SMALL, "noise": True, **changes})
        return shaken(Trainer(config).state())
    return build


DISCRETE = {"type": "vp_discrete", "beta_min": 1e-4, "beta_max": 0.02, "t_min": 0.0}
FLOW = {"type": "rectified_flow", "t_min": 1e-3}


@pytest.mark.parametrize("process,changes", [
    ({}, {}), ({}, {"size": 7, "strides": [2, 2]}), (DISCRETE, {"size": 9}),
    (FLOW, {"widths": [8, 12], "size": 7})])
def test_gradient_is_autograd(noisy, tmp_path, process, changes):
    state = noisy(process, **changes)
    model, config = features.classifier(state)
    made = gradient.Gradient(model, config)
    inputs = gradient.example(config)
    sample = inputs["sample"].requires_grad_()
    t = inputs["timestep"] / made.time_scale if made.time_scale else inputs["timestep"]
    scale = made.process.scale(t)
    x = sample if scale is None else sample / wide(scale)
    log_p = F.log_softmax(model(x, made.process.log_snr(t))[1], dim=1)
    known = inputs["class_labels"] < 4
    log_p = log_p.gather(1, inputs["class_labels"].clamp(max=3)[:, None])[:, 0]
    (exact,) = torch.autograd.grad(log_p[known].sum(), sample)
    assert exact.abs().max() > 0.1 and not exact[~known].any()
    inputs["sample"] = sample.detach()
    assert (made(**inputs) - exact).abs().max() < 1e-5 * (1 + exact.abs().max())
    graph.write(made, tmp_path / "g.onnx", inputs, ["gradient"])
    worst = graph.difference(made, tmp_path / "g.onnx", inputs)
    assert worst is None or worst < graph.TOLERANCE


def test_gradient_beside_its_denoiser(make, noisy, tmp_path, capsys):
    """The command writes the graph and names it in the card that is there."""
    state = noisy({})
    checkpoint.save(tmp_path / "c.pt", state)
    export.export(Trainer(make()).state(), tmp_path, SHAPE, check=False)
    before = json.loads((tmp_path / "model.json").read_text())
    assert cli.main(["export", str(tmp_path / "c.pt"), str(tmp_path)]) == 0
    card = json.loads((tmp_path / "model.json").read_text())
    entry = card.pop("classifier")
    assert card == before
    about = json.loads((tmp_path / "classifier.json").read_text())
    assert about["network"] == entry and about["process"] == card["process"]
    assert about["time_map"] == card["time_map"] and len(about["accuracy"]["by_time"]) == 10
    network = (tmp_path / entry["file"]).read_bytes()
    assert entry["sha256"] == hashlib.sha256(network).hexdigest()
    values = onnx.load_from_string(network).graph
    assert [i.name for i in values.input] == ["sample", "timestep", "class_labels"]
    assert [o.name for o in values.output] == [entry["output"]] == ["gradient"]
    (tmp_path / "c.toml").write_text("kind = 'classifier'\nname = 'c'\nclassifier = {noise = true}")
    assert cli.main(["evaluate", str(tmp_path / "classifier.onnx"), "--config",
                     str(tmp_path / "c.toml")]) == 1
    export.export(Trainer(make("flow_prediction", FLOW)).state(), tmp_path, SHAPE, check=False)
    assert cli.main(["export", str(tmp_path / "c.pt"), str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "has no accuracy" in errors and "but the classifier was trained on" in errors


def test_gradient_needs_noise_and_a_process(noisy):
    model, config = features.classifier(noisy({"type": "psld", "beta_min": 8.0, "beta_max": 8.0}))
    with pytest.raises(ConfigError, match="vp_linear"):
        gradient.Gradient(model, config)


@pytest.mark.parametrize("prediction,process,classes", [
    *((*pair, 4) for pair in (*PAIRS, PSLD)), (*PAIRS[0], 0)])
def test_jvp_is_forward_autograd(make, tmp_path, prediction, process, classes):
    net = {"classes": classes, "widths": [8, 16], "down": [1, 0], "up": [1, 0]}
    model, config = export.denoiser(shaken(Trainer(make(prediction, process, net)).state()))
    inputs = export.jvp_example(config, SHAPE, 24)
    *given, tangent = inputs.values()
    made = dual.Jvp(model)(*inputs.values())
    exact = torch.func.jvp(lambda x: model(x, *given[1:]), (given[0],), (tangent,))
    assert exact[1].abs().max() > 0.1
    for value, truth in zip(made, exact):
        assert (value - truth).abs().max() < 1e-5 * (1 + truth.abs().max())
    if (prediction, process) in (PAIRS[0], PSLD):
        worst = export.export_jvp(model, config, tmp_path, SHAPE)
        assert worst is None or worst < graph.TOLERANCE


OPERATIONS = {
    "sums": lambda x: (1 - x) + (x - 2) - 0.5 * (x + x),
    "products": lambda x: x * x.tanh() + x @ x.transpose(2, 3),
    "scalars": lambda x: x * 3 / 2 + torch.ones(1) * x,
    "elements": lambda x: torch.exp(x.sigmoid()) + F.relu(x) + x.square() + F.silu(x),
    "softmax": lambda x: torch.softmax(x, dim=1) + x.softmax(-1),
    "shapes": lambda x: torch.cat((x[:, :1], torch.ones(2, 1, 4, 4), -x.mean(1, keepdim=True)), 1),
    "parts": lambda x: x.chunk(2, dim=1)[1] * x.unbind(1)[0][:, None],
    "images": lambda x: (F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0)
                         + F.pad(x, (1, 1, 1, 1))[:, :, 2:, 2:]),
    "layers": lambda x: F.group_norm(F.conv_transpose2d(x, WEIGHT, torch.ones(4)), 2),
}
WEIGHT = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("name", OPERATIONS)
def test_rules_are_derivatives(name):
    x, tangent = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(5))
    made = OPERATIONS[name](dual.Dual(x, tangent))
    exact = torch.func.jvp(OPERATIONS[name], (x,), (tangent,))
    for value, truth in zip((made.value, made.tangent), exact):
        assert value.shape == truth.shape
        assert torch.allclose(value, truth, atol=1e-5, rtol=1e-5)


def test_an_operation_without_a_rule_is_named():
    with pytest.raises(ConfigError, match="cumsum"):
        torch.cumsum(dual.Dual(torch.ones(2), torch.ones(2)), 0)
