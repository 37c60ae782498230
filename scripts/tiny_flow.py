"""Makes tests/data/flow: a small normalising flow of the noised mixture tests/data/mixture2d.json at T = 0.3, as a prior.

    PYTHONPATH=train python3 scripts/tiny_flow.py        # needs PyTorch; seconds

The seed is fixed, but another version of PyTorch may give other last digits: what is checked in is what the tests read.
"""

import json
from pathlib import Path

import torch

from driftless_train import config as configs, flow_prior
from driftless_train.evaluate import module_runner
from driftless_train.flow import Density, Flow, gain, marginal

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
STEPS, BATCH, HELD_OUT = 2000, 512, 20_000


class Mixture:
    """Draws of the mixture of Gaussians, as flow.moments and flow_prior.judge take images."""

    def __init__(self, count, draws):
        spec = json.loads((DATA / "mixture2d.json").read_text())
        which = torch.multinomial(torch.tensor(spec["weights"]), count, True, generator=draws)
        noise = torch.randn(count, 2, generator=draws)
        self.x = torch.tensor(spec["means"])[which] + torch.tensor(spec["stds"])[which] * noise

    def __len__(self):
        return len(self.x)

    def take(self, part):
        """Two channels of one pixel; no labels."""
        return self.x[part][:, :, None, None], None


def main():
    """Train, export, and put the mixture's own shape into the card."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = configs.from_dict({"name": "tiny-flow", "kind": "flow", "data": {"dataset": "npz"}, "flow": {
        "time": 0.3, "in_channels": 2, "size": 1, "rank": 2, "layers": 6, "width": 16}})
    draws, (a, b) = torch.Generator().manual_seed(0), marginal(config.process, config.flow.time)
    model = Flow(config.flow)
    model.fit(Mixture(100_000, draws), a, b)
    adam = torch.optim.Adam(model.parameters(), 5e-3)
    for step in range(STEPS):
        adam.param_groups[0]["lr"] = 5e-3 * (1 - step / STEPS)
        x = a * Mixture(BATCH, draws).x + b * torch.randn(BATCH, 2, generator=draws)
        adam.zero_grad()
        (-gain(model, x).mean()).backward()
        adam.step()
    model.eval().requires_grad_(False)
    gate = flow_prior.judge(module_runner(Density(model)), config, Mixture(HELD_OUT, draws), quiet=True)
    worst = flow_prior.write(model, config, DATA / "flow", gate, f"{STEPS} steps, for tests")
    path = DATA / "flow" / "prior.json"
    card = json.loads(path.read_text())
    card["sample"] = {"shape": [2]}
    path.write_text(json.dumps(card, indent=2) + "\n")
    print(gate, f"largest difference from PyTorch {worst:.1e}", sep="\n")


if __name__ == "__main__":
    main()
