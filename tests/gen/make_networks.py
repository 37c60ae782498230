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
    noise       the noise prediction of the mixture below, vp_linear, float32 time t: sample [batch,2]
    gradient    the gradient of log p(class|x) of its classes, int64 class [batch]
    features    of pictures [batch,3,4,4]: features are the 48 numbers, logits the mean of each channel
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
    outputs = output if isinstance(output, list) else [output]
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
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


WEIGHTS = [0.5, 0.3, 0.2]
MEANS = [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]]
STDS = [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]]
LABELS = [0, 1, 0]


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], **attributes)


def mixture_nodes():
    """pull = (x - a m)/V [batch,K 2] and logit [batch,K] of the components; a and b of beta 0.1 to 20. All of it
    in rank 2: OpenVINO 2026.4.1 fuses the same steps in rank 3 to wrong results."""
    return [
        node("Unsqueeze", "timestep column", "t"),
        node("Mul", "t t", "square"), node("Mul", "square half_slope", "s1"), node("Mul", "t beta_min", "s0"),
        node("Add", "s0 s1", "L"), node("Neg", "L", "minus"), node("Exp", "minus", "aa"),
        node("Sqrt", "aa", "a"), node("Sub", "one aa", "bb"), node("Sqrt", "bb", "b"),
        node("MatMul", "x to_components", "u"),
        node("MatMul", "a means", "am"), node("Sub", "u am", "e"),
        node("MatMul", "aa variances", "av"), node("Add", "av bb", "V"),
        node("Div", "e V", "pull"), node("Mul", "pull e", "ee"), node("Log", "V", "logV"),
        node("Add", "ee logV", "terms"), node("MatMul", "terms minus_half_sum", "density"),
        node("Add", "density log_weights", "logit"),
    ]


def mixture_constants():
    k, d = np.eye(3, dtype=np.float32), np.eye(2, dtype=np.float32)
    flat = lambda rows: np.float32(rows).reshape(1, -1)
    return [constant("column", np.array([1])),
            constant("beta_min", np.float32(0.1)), constant("half_slope", np.float32(19.9 / 2)),
            constant("one", np.float32(1)), constant("means", flat(MEANS)), constant("variances", flat(STDS) ** 2),
            constant("to_components", np.kron(np.ones((1, 3), np.float32), d)),
            constant("minus_half_sum", np.kron(k, np.float32([[-0.5], [-0.5]]))),
            constant("each", np.kron(k, np.float32([[1, 1]]))),
            constant("over_components", np.kron(np.ones((3, 1), np.float32), d)),
            constant("log_weights", np.log(np.float32(WEIGHTS)))]


def noise():
    nodes = [*mixture_nodes(), node("Softmax", "logit", "r", axis=1), node("MatMul", "r each", "w"),
             node("Mul", "w pull", "parts"), node("MatMul", "parts over_components", "sum"),
             node("Mul", "sum b", "y")]
    write("noise", nodes, [value("x", F32, ["batch", 2]), value("timestep", F32, ["batch"])],
          value("y", F32, ["batch", 2]), mixture_constants())


def gradient():
    mask = np.where(np.equal.outer(np.arange(2), LABELS), 0, -1e4).astype(np.float32)
    nodes = [*mixture_nodes(), node("Softmax", "logit", "all", axis=1),
             node("Gather", "mask label", "masked", axis=0), node("Add", "logit masked", "own"),
             node("Softmax", "own", "q", axis=1), node("Sub", "all q", "more"), node("MatMul", "more each", "w"),
             node("Mul", "w pull", "parts"), node("MatMul", "parts over_components", "gradient")]
    inputs = [value("x", F32, ["batch", 2]), value("timestep", F32, ["batch"]), value("label", I64, ["batch"])]
    write("gradient", nodes, inputs, value("gradient", F32, ["batch", 2]),
          [*mixture_constants(), constant("mask", mask)])


def features():
    nodes = [node("Reshape", "images flat", "features"), node("ReduceMean", "images", "logits", axes=[2, 3], keepdims=0)]
    write("features", nodes, [value("images", F32, ["batch", 3, 4, 4])],
          [value("features", F32, ["batch", 48]), value("logits", F32, ["batch", 3])],
          [constant("flat", np.array([0, 48]))])


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
    noise()
    gradient()
    features()
