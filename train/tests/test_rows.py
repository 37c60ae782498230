"""Group normalisations over rows: other shapes within the graph, the same numbers out of it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from driftless_train import cli, evaluate, export, graph, rows
from test_export import SHAPE, state

onnx = pytest.importorskip("onnx")


class Normalised(nn.Module):
    """A group normalisation of [n, 8, h, w], and what `follow` makes of it."""

    def __init__(self, follow):
        super().__init__()
        self.follow = follow
        draws = torch.Generator().manual_seed(2)
        self.norm = nn.GroupNorm(4, 8)
        self.norm.weight.data = torch.randn(8, generator=draws)
        self.norm.bias.data = torch.randn(8, generator=draws)
        self.linear = nn.Linear(6, 16)

    def forward(self, x, given):
        return self.follow(self.norm(x), x, self.linear(given)[:, :, None, None])


def modulated(h, x, m):
    scale, shift = m.chunk(2, dim=1)
    return F.silu(h * (1 + scale) + shift)


FOLLOW = {  # name: (what follows, whether SiLU works on rows)
    "silu": (lambda h, x, m: F.silu(h).mean((2, 3)), True),
    "modulation": (lambda h, x, m: modulated(h, x, m).mean((2, 3)), True),
    "scalars": (lambda h, x, m: F.silu(2 * h + 1).mean((2, 3)), True),
    "itself the output": (lambda h, x, m: F.silu(h), True),
    "used twice": (lambda h, x, m: F.silu(h).mean((2, 3)) + F.max_pool2d(h, 3).sum((2, 3)), True),
    "other places": (lambda h, x, m: F.silu(h + x).mean((2, 3)), False),
    "half of the channels": (lambda h, x, m: F.silu(h[:, :4] * m[:, :4]).mean((2, 3)), False),
}


@pytest.fixture
def untouched(monkeypatch):
    """untouched(write, ...): write(...) without the rewriting."""
    def run(write, *arguments, **keywords):
        with monkeypatch.context() as patch:
            patch.setattr(rows, "rewrite", lambda path: 0)
            return write(*arguments, **keywords)
    return run


def ranks(path, kind):
    """Numbers of dimensions that nodes of a kind work on."""
    values = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True).graph
    known = {v.name: len(v.type.tensor_type.shape.dim) for v in (*values.value_info, *values.output)}
    return {known[node.output[0]] for node in values.node if node.op_type == kind}


@pytest.mark.parametrize("name", FOLLOW)
def test_same_numbers(tmp_path, untouched, name):
    follow, on_rows = FOLLOW[name]
    model = Normalised(follow).eval().requires_grad_(False)
    draws = torch.Generator().manual_seed(1)
    inputs = {"sample": torch.randn(5, 8, 7, 3, generator=draws),
              "given": torch.randn(5, 6, generator=draws)}
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    untouched(graph.write, model, before, inputs, ["made"])
    graph.write(model, after, inputs, ["made"])
    assert ranks(before, "Sigmoid") == {4}
    assert ranks(after, "Sigmoid") == ({3} if on_rows else {4})
    worst = graph.difference(model, after, inputs)
    if worst is None:
        pytest.skip("neither openvino nor onnxruntime is installed")
    assert worst < 1e-5
    was, now = (evaluate.onnx_runner(path)(inputs)[0] for path in (before, after))
    assert (was - now).abs().max() < 1e-6


@pytest.mark.parametrize("half", [False, True])
def test_denoiser(make, tmp_path, untouched, half, capsys):
    """The command makes of a file without rows what an export makes now."""
    before, after = tmp_path / "before", tmp_path / "after.onnx"
    untouched(export.export, state(make()), before, SHAPE, half, check=False)
    export.export(state(make()), tmp_path, SHAPE, half, check=False)
    assert 3 not in ranks(before / "network.onnx", "Sigmoid")
    assert 4 not in ranks(tmp_path / "network.onnx", "Sigmoid")
    assert cli.main(["rows", str(before / "network.onnx"), str(after)]) == 0
    assert "after.onnx: 14 normalisations" in capsys.readouterr().out
    assert ranks(after, "Sigmoid") == ranks(tmp_path / "network.onnx", "Sigmoid")
    assert rows.rewrite(after) == 0  # there is nothing left to do
    inputs = export.example(export.denoiser(state(make()))[1], SHAPE, 24)
    made = [evaluate.onnx_runner(path)(inputs)[0]
            for path in (before / "network.onnx", after, tmp_path / "network.onnx")]
    assert (made[0] - made[1]).abs().max() < 1e-6 and (made[0] - made[2]).abs().max() < 1e-6


def test_volumes_are_left_alone(tmp_path):
    norm = nn.Sequential(nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten())
    graph.write(norm, tmp_path / "n.onnx", {"sample": torch.randn(2, 4, 3, 5, 2)}, ["made"])
    assert ranks(tmp_path / "n.onnx", "Sigmoid") == {5}


def test_branches_are_left_alone(tmp_path, untouched):
    """A branch reads tensors of the graph around it by name, whatever shape they have there."""
    norm = nn.Sequential(nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten())
    untouched(graph.write, norm, tmp_path / "n.onnx", {"sample": torch.randn(2, 4, 3, 5)}, ["made"])
    model, make = onnx.load(tmp_path / "n.onnx"), onnx.helper
    value = make.make_tensor_value_info("branch", onnx.TensorProto.FLOAT, None)
    branch = make.make_graph([make.make_node("Identity", ["sample"], ["branch"])], "branch", [], [value])
    model.graph.node.append(make.make_node("If", ["yes"], ["other"], then_branch=branch, else_branch=branch))
    onnx.save(model, tmp_path / "b.onnx")
    assert rows.rewrite(tmp_path / "b.onnx") == 0 and rows.rewrite(tmp_path / "n.onnx") == 1


def test_refusals(make, tmp_path, untouched, capsys):
    plain, broken, output = tmp_path / "plain.onnx", tmp_path / "broken.onnx", tmp_path / "o.onnx"
    graph.write(nn.Flatten(), plain, {"sample": torch.randn(2, 8, 4)}, ["made"])
    broken.write_bytes(b"no network")
    for network, word in ((plain, "no group normalisation"), (broken, "broken.onnx"),
                          (tmp_path / "none.onnx", "none.onnx")):
        assert cli.main(["rows", str(network), str(output)]) == 1
        assert word in capsys.readouterr().err and not output.exists()
    untouched(export.export, state(make()), tmp_path, SHAPE, check=False)
    network = tmp_path / "network.onnx"
    assert cli.main(["rows", str(network), str(tmp_path / "none/o.onnx")]) == 1
    assert "none/o.onnx" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "broken.onnx", "model.json", "network.onnx", "plain.onnx"]
