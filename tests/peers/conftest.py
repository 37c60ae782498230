"""What the comparisons with other programs share: ours, through the library that is under test."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/py"), str(ROOT / "tests/peers")]

from driver import MEANS, STDS, WEIGHTS  # noqa: E402
from library import Library  # noqa: E402


class Ours:
    """Plans for the mixture of the peers' denoiser, run from given states with given noise."""

    def __init__(self, folder):
        self.lib = Library(os.environ.get("DRIFTLESS", ROOT / "build/release/driftless"))
        self.folder, self.models = folder, {}

    def model(self, card):
        key = str(sorted(card.items()))
        if key not in self.models:
            path = self.folder / f"{len(self.models)}.json"
            self.models[key] = self.lib.mixture(path, WEIGHTS.tolist(), MEANS.tolist(), STDS.tolist(),
                                                format="driftless-model/1", sample={"shape": [2]}, **card)
        return self.models[key]

    def run(self, card, spec, x, noise=()):
        """(result, times of the evaluations)."""
        model = self.model(card)
        plan = self.lib.plan(model, spec)
        found = self.lib.sample(model, plan, x, lambda _, number: noise[number])[1]
        times = [r["t"] for r in self.lib.json(plan)["rows"] if r["op"] == "EVAL"]
        assert len(times) == self.lib.nfe(plan)
        self.lib.free_plan(plan)
        return found, np.array(times)


@pytest.fixture(scope="session")
def ours(tmp_path_factory):
    return Ours(tmp_path_factory.mktemp("ours"))
