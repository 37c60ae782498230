"""Processes and prediction types against their definitions, in double precision."""

import math
from pathlib import Path

import pytest
import torch

from driftless_train import config as configs
from driftless_train import phase
from driftless_train.circle import circle, coefficients, wide
from driftless_train.evaluate import problem
from driftless_train.loss import stratified
from driftless_train.process import Denoiser, Process

CONFIGS = Path(__file__).parent.parent / "configs"
EDM = {"type": "edm", "t_min": 0.002, "t_max": 80.0, "times": "lognormal"}
PAIRS = [  # prediction, process; phase space has its own tests
    ("epsilon", {}), ("sample", {}), ("v_prediction", {}), ("flow_prediction", {}),
    ("epsilon", {"type": "vp_discrete", "beta_min": 1e-4, "beta_max": 0.02, "t_min": 0.0}),
    ("flow_prediction", {"type": "rectified_flow", "t_min": 1e-3}), ("edm", EDM)]


def defined(prediction, a, b, x0, n, sigma_data):
    """The prediction from its definition, with the unnormalised state a x0 + b n."""
    if prediction == "edm":  # F of D = c_skip x + c_out F with D = x0
        s2, sigma = sigma_data**2, b / a
        skip, out = s2 / (sigma**2 + s2), sigma * sigma_data / math.sqrt(sigma**2 + s2)
        return (x0 - skip * (x0 + sigma * n)) / out
    return {"epsilon": n, "sample": x0, "v_prediction": a * n - b * x0,
            "flow_prediction": n - x0}[prediction]


@pytest.mark.parametrize("prediction", configs.PREDICTIONS)
@pytest.mark.parametrize("angle", [1e-3, 0.3, 0.8, 1.4, math.pi / 2 - 1e-3])
def test_coefficients_are_the_definitions(prediction, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    for x0, n in ((1.0, 0.0), (0.0, 1.0), (-0.7, 0.4)):
        skip, gain = coefficients(prediction, torch.tensor(cos, dtype=torch.float64),
                                  torch.tensor(sin, dtype=torch.float64), 0.5)
        made = float(skip * (cos * x0 + sin * n) + gain * (cos * n - sin * x0))
        assert made == pytest.approx(defined(prediction, cos, sin, x0, n, 0.5), abs=1e-9)


@pytest.mark.parametrize("t", [1e-4, 1e-3, 0.1, 0.5, 1.0])
def test_vp_linear_log_snr(t):
    process = Process(configs.ProcessConfig())
    log_a2 = -(0.1 * t + 0.5 * 19.9 * t * t)
    exact = 0.5 * (log_a2 - math.log(-math.expm1(log_a2)))
    assert float(process.log_snr(torch.tensor([t]))) == pytest.approx(exact, rel=1e-5)


def test_discrete_table_ends_where_ddpm_does():
    process = Process(configs.ProcessConfig(type="vp_discrete", beta_min=1e-4, beta_max=0.02))
    cos, sin = circle(process.log_snr(torch.tensor([0, 999])))
    assert float(sin[0] ** 2) == pytest.approx(1e-4, rel=1e-5)
    assert float(cos[1] ** 2) == pytest.approx(4.0358297653756754e-05, rel=1e-4)


@pytest.mark.parametrize("prediction,process", PAIRS)
def test_exported_wrapper_returns_the_definition(make, prediction, process):
    """With a body that knows v exactly, card-shaped inputs give the prediction by definition."""
    config = make(prediction, process)
    levels = Process(config.process)
    t = levels.draw((torch.arange(16) + 0.5) / 16)
    x0, n = torch.randn(2, 16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    cos, sin = circle(levels.log_snr(t))
    z, v = wide(cos) * x0 + wide(sin) * n, wide(cos) * n - wide(sin) * x0
    sample, timestep, truth, _ = problem(levels, config, x0, n, t)
    made = Denoiser(Oracle(z, levels.log_snr(t), v), config)(sample, timestep)
    scale = levels.scale(t)
    for i in range(16):
        c = 1.0 if scale is None else float(scale[i])
        exact = defined(prediction, c * float(cos[i]), c * float(sin[i]),
                        x0[i].double(), n[i].double(), 0.5)
        for value in (made[i], truth[i]):
            assert (value - exact).abs().max() < 2e-3 * (1 + exact.abs().max())


class Oracle(torch.nn.Module):
    """A body that knows v, and checks that it is shown the state z at the right level."""

    def __init__(self, z, log_snr, v):
        super().__init__()
        self.z, self.log_snr, self.v = z, log_snr, v

    def forward(self, z, log_snr, labels):
        assert torch.allclose(z, self.z, atol=1e-4)
        assert torch.allclose(log_snr, self.log_snr, atol=1e-3, rtol=1e-3)
        return self.v


PSLD = configs.ProcessConfig(type="psld", beta_min=8.0, beta_max=8.0, t_min=1e-5)


@pytest.mark.parametrize("t,psi00,psi10,xx,xm,mm", [  # 50-digit values of the exact kernel
    (1e-3, 0.999928172229, -3.96796893742e-3, 8.31904373867e-5, 2.19167302637e-4, 0.0175762245088),
    (0.01, 0.996566947583, -0.0369098869475, 1.62293432881e-3, 6.70271159203e-3, 0.0756750050172),
    (0.1, 0.805563428587942, -0.179014095242, 0.228010744748, 0.128825105107, 0.216031190927),
    (1.0, 2.90078055107e-3, -1.28923580048e-3, 0.999985202897, 6.53216677047e-6, 0.249997116206)])
def test_psld_kernel(t, psi00, psi10, xx, xm, mm):
    (a0, a1), (l11, l21, l22) = phase.kernel(PSLD, torch.tensor([t]))
    made = [a0, a1, l11**2, l11 * l21, l21**2 + l22**2]
    for value, exact in zip(made, (psi00, psi10, xx + 1e-9, xm, mm + 1e-9)):
        assert float(value) == pytest.approx(exact, rel=3e-5, abs=1e-9)


def test_psld_wrapper_recovers_the_noise(make):
    """Two noise channels from one prediction: exact when the body knows v."""
    config = make(process=vars(PSLD))
    t = torch.tensor([1e-4, 1e-3, 0.01, 0.1, 0.5, 1.0])
    draws = torch.randn(3, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x0, noise = draws[0].clamp(-1, 1), torch.cat((draws[1], draws[2]), dim=1)
    sample, timestep, truth, _ = problem(Process(PSLD), config, x0, noise, t)
    g0, g1 = (wide(g) for g in phase.direction(PSLD, t))
    along = (g0 * draws[1] + g1 * draws[2]) / torch.sqrt(g0**2 + g1**2)
    log_snr = Process(PSLD).log_snr(t)
    cos, sin = (wide(part) for part in circle(log_snr))
    body = Oracle(cos * x0 + sin * along, log_snr, cos * along - sin * x0)
    made = phase.PhaseDenoiser(body, config)(sample, timestep)
    assert (made - truth).abs().max() < 2e-3


def test_stratified_times_fill_every_cell():
    u = stratified(64, torch.Generator().manual_seed(3))
    assert sorted((u * 64).long().tolist()) == list(range(64))


def test_draws_stay_in_range():
    u = torch.linspace(0, 0.9999999, 1001)
    short = Process(configs.ProcessConfig(t_max=0.3)).draw(u)
    assert 1e-4 - 1e-8 < float(short.min()) and float(short.max()) < 0.3 + 1e-7
    steps = Process(configs.ProcessConfig(type="vp_discrete", beta_min=1e-4, beta_max=0.02,
                                          t_min=0.0, t_max=0.3)).draw(u)
    assert steps.dtype == torch.int64 and (int(steps.min()), int(steps.max())) == (0, 299)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_configurations_load(path):
    assert configs.read(path).name == path.stem


@pytest.mark.parametrize("text,word", [
    ("nme = 'x'", "nme"), ("name = 'x'\n[train]\nlr = 1", "train.lr"),
    ("name = 'x'\nprediction = 'eps'", "epsilon"),
    ("name = 'x'\n[process]\ntype = 'edm'", "need each other")])
def test_bad_configurations_are_named(tmp_path, text, word):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(configs.ConfigError, match=word):
        configs.read(tmp_path / "c.toml")
