"""Folders with small networks of phase space, exact for data N(0, std^2), that answer from a table."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SPAN, N = 14, 2000  # the table's times: exp(-SPAN) to 1, evenly in log t
HALVES = {"both": [0, 1], "x": [0], "m": [1]}


def kernel(t, Gamma=0.01, nu=4.01, beta_0=8, beta_1=8, kappa=0.04, numerical_eps=1e-9):
    """a [..., 2] and the covariances given x_0, and given x_0 and m_0 (docs/phase-space.md, section 1)."""
    B, s, p = t * (beta_0 + (beta_1 - beta_0) * t / 2), nu - Gamma, nu + Gamma
    u, M = p * B / 2, 4 / s**2
    decay = np.exp(-p * B / 4)
    psi = [decay * (1 + s * B / 4), decay * B / (2 * M), -decay * B / 2, decay * (1 - s * B / 4)]
    tail = np.where(u < 0.1, u**3 / 6 * (1 + u / 4 * (1 + u / 5 * (1 + u / 6))), np.expm1(u) - u - u**2 / 2)
    q, e = nu * Gamma * B**2 / 2, np.exp(-u)
    xx, xm, mm = e * (Gamma * B + q + tail), e * s * B**2 / 4, e * M * (nu * B + q + tail)
    both = np.stack([xx, xm, xm, mm], -1).reshape(*t.shape, 2, 2) + numerical_eps * np.eye(2)
    column = np.stack([psi[1], psi[3]], -1)
    clean = both + kappa * M * column[..., :, None] * column[..., None, :]
    return np.stack([psi[0], psi[2]], -1), clean, both


def gain(std=0.5, kind="epsilon", matching="hsm", factor="lower", half="both", **process):
    """What the network multiplies (x, m) with, at each time of the table: [N + 1][halves][2]."""
    a, clean, both = kernel(np.exp(np.linspace(-SPAN, 0, N + 1)), **process)
    score = -np.linalg.inv(std**2 * a[:, :, None] * a[:, None, :] + clean)
    if kind == "score":
        return score[:, HALVES[half]]
    cov = clean if matching == "hsm" else both
    turn = np.eye(2)[::-1] if factor == "upper" else np.eye(2)  # Cholesky's factor is the lower one
    L = turn @ np.linalg.cholesky(turn @ cov @ turn) @ turn
    return (-np.swapaxes(L, 1, 2) @ score)[:, HALVES[half]]


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def network(path, table, classes=0, deaf=False, centred=False):
    """y = table[timestep] (x, m) (+ class_labels/100, or if deaf, + 0 times it); centred takes the mean of
    the batch away first."""
    constants = {"table": np.asarray(table, np.float32), "steps": np.float32(N / SPAN), "last": np.float32(N),
                 "none": np.float32(0), "flat": np.array([0, 2, 16]), "tall": np.array([0, table.shape[1], 4, 4]),
                 "axes": np.array([1, 2, 3]), "hundredth": np.float32(0 if deaf else 0.01)}
    nodes = [node("Log", "timestep", "log"), node("Mul", "log steps", "back"), node("Add", "back last", "place"),
             node("Round", "place", "whole"), node("Clip", "whole none last", "inside"),
             node("Cast", "inside", "index", to=TensorProto.INT64), node("Gather", "table index", "gain"),
             node("Reshape", "sample flat", "state")]
    state = "state"
    if centred:
        nodes += [node("ReduceMean", "state", "mean", axes=[0], keepdims=1), node("Sub", "state mean", "rest")]
        state = "rest"
    nodes += [node("MatMul", f"gain {state}", "product"), node("Reshape", "product tall", "plain" if classes else "y")]
    inputs = [helper.make_tensor_value_info("sample", TensorProto.FLOAT, ["batch", 2, 4, 4]),
              helper.make_tensor_value_info("timestep", TensorProto.FLOAT, ["batch"])]
    if classes:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
        nodes += [node("Cast", "label", "c", to=TensorProto.FLOAT), node("Mul", "c hundredth", "small"),
                  node("Unsqueeze", "small axes", "shift"), node("Add", "plain shift", "y")]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", table.shape[1], 4, 4])
    graph = helper.make_graph(nodes, "phase", inputs, [out],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def folder(path, table, card=None, classes=None, **net):
    """A folder of a network with this table under a card with these keys; returns its path as text."""
    path.mkdir()
    network(path / "net.onnx", table, classes=classes["count"] if classes else 0, **net)
    inputs = {"sample": "sample", "time": "timestep", **({"class": "label"} if classes else {})}
    whole = {"format": "driftless-model/1", "network": {"file": "net.onnx", "inputs": inputs, "output": "y"},
             "process": "psld", "prediction_type": "epsilon", "state_components": 2,
             "time_map": {"type": "linear", "dtype": "float32", "rank": 1}, "t_min": 1e-4, "t_max": 1.0,
             "sample": {"shape": [1, 4, 4], "range": [-1, 1]}, **({"classes": classes} if classes else {}),
             **(card or {})}
    (path / "model.json").write_text(json.dumps(whole))
    return str(path)
