#!/usr/bin/env python3
"""Writes the small ONNX networks of the tests to tests/data/networks.

Needs the `onnx` package (made with 1.23.2); the tests need only the files. Every network has a known
answer, so that the tests check values, not just that something came back:

    linear      y = 2 x + time/1000 + class    sample [batch,1,2,2], float32 time [batch], int64 class
    whole       y = x + time                   int64 time [batch]
    scalar      y = x time                     float32 time, rank 0
    half        y = x + time                   float16 time [batch]
    variance    y = [x, x] over channels       twice as many numbers as the sample has
    image       y = x + time                   every dimension but the channels unknown
    phase       y = x + time                   phase space: sample [batch,2,2,2], x then m
    momentum    y = m + time                   the same, with the second half alone as output
    fixed       y = x + time                   batch of 2 written into the graph by a Reshape
"""
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

FOLDER = Path(__file__).resolve().parent.parent / "data" / "networks"
F32, F16, I64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64
SAMPLE = ["batch", 1, 2, 2]


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def write(name, nodes, inputs, output, constants=()):
    graph = helper.make_graph(nodes, name, inputs, [output], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    save(model, FOLDER / f"{name}.onnx")


def spread(source, target):
    """A number per sample, made addable to images."""
    return helper.make_node("Unsqueeze", [source, "axes"], [target])


AXES = constant("axes", np.array([1, 2, 3], np.int64))


def linear():
    nodes = [
        helper.make_node("Mul", ["timestep", "thousandth"], ["t"]),
        helper.make_node("Cast", ["label"], ["c"], to=F32),
        helper.make_node("Add", ["t", "c"], ["shift"]),
        spread("shift", "wide"),
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("Add", ["double", "wide"], ["y"]),
    ]
    inputs = [value("x", F32, SAMPLE), value("timestep", F32, ["batch"]),
              value("label", I64, ["batch"])]
    write("linear", nodes, inputs, value("y", F32, SAMPLE),
          [AXES, constant("thousandth", np.float32(1e-3)), constant("two", np.float32(2))])


def add_time(name, kind, sample=SAMPLE):
    nodes = [helper.make_node("Cast", ["timestep"], ["t"], to=F32), spread("t", "wide"),
             helper.make_node("Add", ["x", "wide"], ["y"])]
    write(name, nodes, [value("x", F32, sample), value("timestep", kind, ["batch"])],
          value("y", F32, sample), [AXES])


def scalar():
    write("scalar", [helper.make_node("Mul", ["x", "timestep"], ["y"])],
          [value("x", F32, SAMPLE), value("timestep", F32, [])], value("y", F32, SAMPLE))


def variance():
    nodes = [spread("timestep", "wide"), helper.make_node("Add", ["x", "wide"], ["z"]),
             helper.make_node("Concat", ["z", "x"], ["y"], axis=1)]
    write("variance", nodes, [value("x", F32, SAMPLE), value("timestep", F32, ["batch"])],
          value("y", F32, ["batch", 2, 2, 2]), [AXES])


def fixed():
    nodes = [spread("timestep", "wide"), helper.make_node("Add", ["x", "wide"], ["z"]),
             helper.make_node("Reshape", ["z", "shape"], ["y"])]
    write("fixed", nodes, [value("x", F32, SAMPLE), value("timestep", F32, ["batch"])],
          value("y", F32, [2, 1, 2, 2]), [AXES, constant("shape", np.array([2, 1, 2, 2]))])


def momentum():
    nodes = [helper.make_node("Slice", ["x", "one", "two", "one"], ["m"]), spread("timestep", "wide"),
             helper.make_node("Add", ["m", "wide"], ["y"])]
    write("momentum", nodes, [value("x", F32, ["batch", 2, 2, 2]), value("timestep", F32, ["batch"])],
          value("y", F32, SAMPLE),
          [AXES, constant("one", np.array([1])), constant("two", np.array([2]))])


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    linear()
    add_time("whole", I64)
    add_time("half", F16)
    add_time("image", F32, ["batch", 1, "height", "width"])
    add_time("phase", F32, ["batch", 2, 2, 2])
    momentum()
    scalar()
    variance()
    fixed()
