"""Flow priors: both directions, the density by autograd and by quadrature, training, export and card."""

import hashlib
import json
import math
import re

import pytest
import torch

from driftless_train import checkpoint, cli, data, evaluate, flow_prior
from driftless_train.config import ConfigError
from driftless_train.flow import Flow, FlowConfig, gain, marginal, moments, orders
from driftless_train.loop import Limits, Trainer, run
from driftless_train.pack import pack
from driftless_train.plot import even_ticks

SMALL = {"size": 8, "rank": 6, "layers": 4, "width": 16, "time": 0.3}


@pytest.fixture
def make_flow(make):
    """make_flow(...) -> Config of a tiny flow of the toy data."""
    def build(train=None, process=None, **changes):
        return make(kind="flow", flow={**SMALL, **changes}, process=process,
                    train={"learning_rate": 5e-3, "clip": 5.0, **(train or {})})
    return build


def random_flow(spread=0.7, **changes):
    """A flow in double precision with nothing left at its first value."""
    model = Flow(FlowConfig(**{"in_channels": 5, "size": 1, "rank": 4, "layers": 6, "width": 8, **changes})).double()
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(spread * torch.randn(p.shape, generator=draws))
        model.mean.copy_(torch.randn(model.dim, generator=draws))
        basis, _ = torch.linalg.qr(torch.randn(model.dim, model.dim, generator=draws, dtype=torch.float64))
        model.axes.copy_(basis[:, :model.config.rank].T)
        model.scale.copy_(0.5 + torch.rand(model.config.rank, generator=draws))
        model.rest.fill_(0.8)
    return model.requires_grad_(False)


def normals(n, d):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("rank", [2, 4])
def test_density_is_that_of_the_samples(rank):
    """Both directions undo one another, and the density is that of the normals over the Jacobian."""
    model = random_flow(rank=rank)
    for z in normals(10, model.dim):
        x = model.sample(z[None])[0]
        lead, others, _ = model(x[None])
        assert torch.allclose(lead[0], z @ model.axes.T, atol=1e-10)
        assert float(others) == pytest.approx(float(0.5 * (z.square().sum() - lead.square().sum())), abs=1e-9)
        jacobian = torch.autograd.functional.jacobian(lambda v: model.sample(v[None])[0], z)
        density = (-0.5 * z.square().sum() - 0.5 * model.dim * math.log(2 * math.pi)
                   - torch.linalg.slogdet(jacobian)[1])
        assert float(model.log_density(x[None])) == pytest.approx(float(density), abs=1e-9)


def test_a_density_of_two_numbers_integrates_to_one():
    model, step = random_flow(0.4, in_channels=2, rank=2), 0.02
    axis = torch.arange(-16, 16, step, dtype=torch.float64) + step / 2
    total = sum(model.log_density(torch.cartesian_prod(part, axis)).exp().sum() for part in axis.split(100))
    assert float(total) * step**2 == pytest.approx(1, abs=2e-4)


def test_begins_as_the_gaussian_of_the_data(make_flow):
    """With all coordinates, exactly the best Gaussian of the noised data."""
    config = make_flow(rank=64)
    images = data.load(config.data, train=True)
    a, b = marginal(config.process, 0.3)
    assert a == pytest.approx(math.exp(-0.5 * (0.1 * 0.3 + 9.95 * 0.09)), abs=1e-12)
    assert a * a + b * b == pytest.approx(1, abs=1e-12)
    model = Flow(config.flow)
    model.fit(images, a, b)
    mean, covariance = moments(images)
    exact = torch.distributions.MultivariateNormal(a * mean, a * a * covariance + b * b * torch.eye(64))
    x = normals(20, 64).float()
    assert torch.allclose(model.log_density(x).double(), exact.log_prob(x.double()), atol=1e-3)
    assert torch.allclose(moments(images, batch=100)[1], covariance, atol=1e-12)


def test_directions_off_the_axes_share_their_mean_variance(make_flow):
    config = make_flow(rank=6)
    images, model = data.load(config.data, train=True), Flow(config.flow)
    model.fit(images, 0.6, 0.8)
    trace = torch.trace(moments(images)[1])
    modelled = model.scale.double().square().sum() + (64 - 6) * model.rest.double().square()
    assert float(modelled) == pytest.approx(float(0.36 * trace + 0.64 * 64), rel=1e-5)
    assert torch.allclose(model.axes @ model.axes.T, torch.eye(6), atol=1e-5)


def test_every_coordinate_changes():
    for first, second in zip(orders(8, 6)[::2], orders(8, 6)[1::2]):
        assert sorted(first.tolist()) == list(range(8))
        assert set(first[4:].tolist()) == set(second[:4].tolist())
    assert orders(8, 6)[0].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert orders(8, 6)[2].tolist() != orders(8, 6)[4].tolist()


def gate(trainer):
    model, config = flow_prior.density(trainer.state())
    images = data.load(config.data, train=False)
    return flow_prior.judge(evaluate.module_runner(model), config, images, quiet=True)


def test_training_gains_on_the_gaussian(make_flow, tmp_path):
    trainer = Trainer(make_flow())
    trainer.begin(data.load(trainer.config.data, train=True))
    before = gate(trainer)
    run(trainer, tmp_path, Limits(steps=200, quiet=True))
    after = gate(trainer)
    assert (tmp_path / "loss.svg").read_text().count("<text") > 8  # though the loss is below 0
    assert before.passed and before.count == 128
    assert after.gain > before.gain + 0.3  # on the same x_T; four clusters are no Gaussian
    assert after.error == pytest.approx(before.error, rel=0.5)


@pytest.mark.parametrize("low, high", [(-48.4, -45.1), (-0.3, 0.01), (-1e-3, 2e3), (-7.0, -5.0)])
def test_ticks_of_an_axis_with_negative_values(low, high):
    made = even_ticks(low, high)
    assert 3 <= len(made) <= 11 and low <= made[0] and made[-1] <= high
    steps = [b - a for a, b in zip(made, made[1:])]
    assert max(steps) == pytest.approx(min(steps))


def test_resume_is_exact(make_flow, tmp_path):
    config = make_flow()
    run(whole := Trainer(config), tmp_path / "whole", Limits(steps=8, quiet=True))
    run(Trainer(config), tmp_path / "parts", Limits(steps=3, quiet=True))
    saved = checkpoint.load(tmp_path / "parts" / "checkpoint.pt")
    run(again := Trainer.from_state(saved), tmp_path / "parts", Limits(steps=8, quiet=True))
    for part in ("body", "ema", "buffers"):
        for name, value in whole.state()[part].items():
            assert torch.equal(value, again.state()[part][name])
    assert whole.state()["buffers"]["mean"].abs().max() > 0


def test_packed_checkpoint_keeps_the_gaussian(make_flow, tmp_path):
    run(trainer := Trainer(make_flow()), tmp_path, Limits(steps=5, quiet=True))
    pack(trainer.state(), tmp_path / "tiny.pt.xz")
    again = Trainer.from_state(checkpoint.load(tmp_path / "tiny.pt.xz"))
    assert gate(again).gain == pytest.approx(gate(trainer).gain, abs=0.02)


def test_export_and_card(make_flow, tmp_path, capsys):
    run(trainer := Trainer(make_flow()), tmp_path, Limits(steps=60, quiet=True))
    done = cli.main(["export", str(tmp_path), str(tmp_path / "prior")])
    said = capsys.readouterr().out
    card = json.loads((tmp_path / "prior" / "prior.json").read_text())
    assert done == 0 and card["format"] == "driftless-flow-prior/1"
    assert card["sample"] == {"shape": [1, 8, 8], "range": [-1.0, 1.0]}
    a, b = marginal(trainer.config.process, 0.3)
    assert card["state"] == {"t": 0.3, "a": a, "b": b} and card["process"]["beta_max"] == 20
    for part in ("sampler", "density"):
        network = (tmp_path / "prior" / card[part]["file"]).read_bytes()
        assert card[part]["sha256"] == hashlib.sha256(network).hexdigest()
    assert cli.main(["evaluate", str(tmp_path), "--quiet"]) == 0
    judged = re.search(r"x_T: (\S+) \+- (\S+) nats", capsys.readouterr().out).groups()
    written = card["gate"]["gain"], card["gate"]["error"]  # to 4 digits, the line above to 3
    assert [float(word) for word in judged] == pytest.approx(written, abs=6e-4)
    if "not checked" in said:
        pytest.skip("neither openvino nor onnxruntime is installed")
    model, _ = flow_prior.flow(trainer.state())
    z = normals(50, 64).float()
    state = evaluate.onnx_runner(tmp_path / "prior" / "sampler.onnx")({"normals": z})[0]
    logp = evaluate.onnx_runner(tmp_path / "prior" / "density.onnx")({"state": state})[0]
    assert torch.allclose(state, model.sample(z), atol=1e-5)
    assert torch.allclose(logp, model.log_density(state), atol=2e-4)
    lead, others, _ = model(state)  # inverse of what the graph drew
    assert torch.allclose(lead, z @ model.axes.T, atol=1e-4)
    assert torch.allclose(gain(model, state).mean(), (logp + 0.5 * (state.square().sum(1) + 64 * math.log(
        2 * math.pi))).mean(), atol=1e-3)


def test_graphs_hold_no_random_numbers(make_flow, tmp_path):
    onnx = pytest.importorskip("onnx")
    flow_prior.export(Trainer(make_flow()).state(), tmp_path, data.load(make_flow().data, train=False))
    for part in ("sampler", "density"):
        graph = onnx.load(tmp_path / f"{part}.onnx").graph
        assert not [n.op_type for n in graph.node if "Random" in n.op_type or n.op_type == "Multinomial"]
        assert len(graph.input) == len(graph.output) == 1


@pytest.mark.parametrize("changes, part", [
    ({"rank": 5}, "flow.rank"), ({"rank": 66}, "flow.rank"), ({"layers": 3}, "flow.layers"),
    ({"layers": 0}, "flow.layers"), ({"time": 0.0}, "flow.time"), ({"time": 1.5}, "flow.time"),
    ({"width": 0}, "flow.width"), ({"bound": 0.0}, "flow.bound"),
])
def test_settings_that_cannot_be(make_flow, changes, part):
    with pytest.raises(ConfigError, match=part):
        make_flow(**changes)


def test_kinds_do_not_mix(make, make_flow, tmp_path, capsys):
    with pytest.raises(ConfigError, match="vp_linear"):
        make_flow(process={"type": "rectified_flow"})
    with pytest.raises(ConfigError, match="not a flow"):
        flow_prior.flow(Trainer(make()).state())
    run(Trainer(make_flow()), tmp_path, Limits(steps=1, quiet=True))
    assert cli.main(["export", str(tmp_path), str(tmp_path / "p"), "--half"]) == 1
    assert "--half" in capsys.readouterr().err
