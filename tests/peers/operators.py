#!/usr/bin/python3
"""Writes ONNX files of one operator each, for comparison with ONNX Runtime.

    operators.py FOLDER

The files are written byte by byte (onnx.proto is all it takes), so that opsets and forms that no
exporter here writes are tried too. What is there already is left alone, unless this file is newer.
"""
import os
import struct
import sys

import numpy as np

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float64": 11}
NAMES = {v: k for k, v in TYPES.items()}


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while True:
        out.append(n & 127 | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(array, name=""):
    array = np.asarray(array)
    out = b"".join(number(1, d) for d in array.shape) + number(2, TYPES[str(array.dtype)])
    return out + block(8, name) + block(9, np.ascontiguousarray(array).tobytes())


class Graph:
    """A subgraph: nodes as (type, inputs, outputs, attributes), names of inputs and outputs."""

    def __init__(self, nodes, inputs, outputs, initialisers=()):
        self.nodes, self.inputs, self.outputs, self.initialisers = nodes, inputs, outputs, initialisers

    def encode(self):
        out = b"".join(block(1, node(*n)) for n in self.nodes) + block(2, "graph")
        out += b"".join(block(5, tensor(v, k)) for k, v in dict(self.initialisers).items())
        out += b"".join(block(11, value(*v)) for v in self.inputs)
        return out + b"".join(block(12, value(*v)) for v in self.outputs)


def attribute(name, v):
    out = block(1, name)
    if isinstance(v, bool) or isinstance(v, int):
        return out + number(3, int(v)) + number(20, 2)
    if isinstance(v, float):
        return out + varint(2 << 3 | 5) + struct.pack("<f", v) + number(20, 1)
    if isinstance(v, str):
        return out + block(4, v) + number(20, 3)
    if isinstance(v, np.ndarray):
        return out + block(5, tensor(v)) + number(20, 4)
    if isinstance(v, Graph):
        return out + block(6, v.encode()) + number(20, 5)
    if v and isinstance(v[0], str):
        return out + b"".join(block(9, s) for s in v) + number(20, 8)
    if v and isinstance(v[0], float):
        return out + b"".join(varint(7 << 3 | 5) + struct.pack("<f", x) for x in v) + number(20, 6)
    return out + b"".join(number(8, x) for x in v) + number(20, 7)


def node(kind, inputs, outputs, attributes=None, name=""):
    out = b"".join(block(1, i) for i in inputs) + b"".join(block(2, o) for o in outputs)
    out += block(3, name or f"{kind.lower()}_{outputs[0]}") + block(4, kind)
    return out + b"".join(block(5, attribute(k, v)) for k, v in (attributes or {}).items())


def value(name, kind=None, shape=None):
    """An input or output; ONNX Runtime finds out what is left open."""
    if kind is None:
        return block(1, name)
    dims = b"" if shape is None else block(2, b"".join(block(1, number(1, d)) for d in shape))
    return block(1, name) + block(2, block(1, number(1, kind) + dims))


def model(graph, opset):
    ir = 3 if opset < 10 else 4 if opset < 12 else 7 if opset < 17 else 8 if opset < 19 else 9
    return number(1, ir) + block(7, graph.encode()) + block(8, block(1, "") + number(2, opset))


class Const:
    """An operand that the file holds."""

    def __init__(self, array, dtype=None):
        self.array = np.asarray(array, dtype)


def ints(*numbers):
    return Const(np.array(numbers, np.int64))


rng = np.random.default_rng(17)


def real(*shape):
    return rng.normal(0, 1, shape).astype(np.float32)


def positive(*shape):
    return rng.uniform(0.1, 3, shape).astype(np.float32)


def whole(low, high, *shape, dtype=np.int64):
    return rng.integers(low, high, shape).astype(dtype)


def flags(*shape):
    return rng.integers(0, 2, shape).astype(bool)


CASES = []


def op(kind, operands, attributes=None, opsets=(13,), outputs=1, label="", kinds=None):
    """One node. Arrays are inputs, Const operands initialisers, None is left out."""
    for opset in opsets:
        CASES.append((f"{kind.lower()}{'_' + label if label else ''}_{opset}", kind, operands, attributes or {}, opset, outputs, kinds))


def write(folder):
    seen = set()
    for name, kind, operands, attributes, opset, outputs, kinds in CASES:
        assert name not in seen, name
        seen.add(name)
        base = f"{folder}/{name}"
        if os.path.exists(base + ".shapes") and os.path.getmtime(base + ".shapes") > os.path.getmtime(__file__):
            continue
        inputs, initialisers, names, arrays = [], {}, [], []
        for i, operand in enumerate(operands):
            if operand is None:
                names.append("")
            elif isinstance(operand, Const):
                names.append(f"c{i}")
                initialisers[names[-1]] = operand.array
            else:
                names.append(f"x{i}")
                inputs.append((names[-1], TYPES[str(operand.dtype)], operand.shape))
                arrays.append(operand)
        if isinstance(kind, str) and isinstance(attributes, list):
            nodes, given = attributes, [f"y{i}" for i in range(outputs)]
        else:
            given = [f"y{i}" for i in range(outputs)]
            nodes = [(kind, names, given, attributes)]
        kinds = kinds or [1] * outputs
        graph = Graph(nodes, inputs, [(g, k) for g, k in zip(given, kinds)], initialisers)
        with open(base + ".onnx", "wb") as file:
            file.write(model(graph, opset))
        for i, array in enumerate(arrays):
            with open(f"{base}.in{i}.npy", "wb") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array).reshape(array.shape), (1, 0))
        with open(base + ".shapes", "w") as file:
            for array in arrays:
                dtype = str(array.dtype)
                text = "x".join(map(str, array.shape)) or "scalar"
                file.write(text + ("" if dtype == "float32" else ":" + dtype) + "\n")
    print(len(CASES), "cases")


X = real(2, 3, 7, 9)
I64 = 7

# Element by element.
for kind, data in [
    ("Abs", X), ("Ceil", X * 3), ("Cos", X), ("Sin", X), ("Tan", X), ("Cosh", X), ("Sinh", X), ("Tanh", X),
    ("Atan", X), ("Asinh", X), ("Acosh", positive(4, 5) + 1), ("Acos", X / 6), ("Asin", X / 6), ("Atanh", X / 6),
    ("Exp", X), ("Log", positive(4, 5)), ("Sqrt", positive(4, 5)), ("Reciprocal", positive(4, 5)), ("Neg", X),
    ("Floor", X * 3), ("Erf", X), ("Sign", X), ("Relu", X), ("Sigmoid", X), ("Softplus", X * 12), ("Softsign", X),
    ("Identity", X), ("LeakyRelu", X), ("Elu", X), ("Selu", X), ("HardSigmoid", X * 3),
]:
    op(kind, [data], opsets=(9, 13))
op("Round", [np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.3], np.float32)], opsets=(11,))
op("LeakyRelu", [X], {"alpha": 0.3}, label="alpha")
op("Elu", [X], {"alpha": 0.5}, label="alpha")
op("Selu", [X], {"alpha": 2.0, "gamma": 1.5}, label="alpha")
op("Celu", [X], {"alpha": 0.7}, opsets=(12,))
op("ThresholdedRelu", [X], {"alpha": 0.4}, opsets=(10,))
op("HardSigmoid", [X * 4], {"alpha": 1 / 6, "beta": 0.5}, label="sixth")
op("HardSwish", [X * 4], opsets=(14,))
op("Mish", [X], opsets=(18,))
op("Gelu", [X], opsets=(20,))
op("Gelu", [X], {"approximate": "tanh"}, opsets=(20,), label="tanh")
op("Shrink", [X], {"lambd": 0.5, "bias": 0.2}, opsets=(9,))
op("PRelu", [X, Const(real(3, 1, 1))], opsets=(9, 16))
op("PRelu", [X, Const(real(1))], label="one")
op("PRelu", [X, Const(real(7, 9))], label="wide")
for kind in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"):
    a, b = (positive(2, 3, 4), positive(3, 1)) if kind in ("Pow", "Div") else (real(2, 3, 4), real(3, 1))
    op(kind, [a, b], opsets=(9, 13))
    op(kind, [a, Const(np.float32(1.7))], label="const")
    op(kind, [Const(np.array([1.7], np.float32)), b], label="const_first")
    op(kind, [a[0, 0, 0].reshape(()), Const(np.array([[2.5]], np.float32))], label="raises_rank")
op("Add", [whole(-9, 9, 4), whole(-9, 9, 3, 4)], kinds=[I64], label="int64")
op("Div", [whole(-50, 50, 40), Const(whole(2, 9, 40))], kinds=[I64], label="int64")
op("Div", [whole(-50, 50, 40), Const(np.where(whole(0, 2, 40) == 1, -1, 3))], kinds=[I64], label="int64_minus_one")
op("Div", [whole(-50, 50, 40, dtype=np.int32), Const(whole(2, 9, 40, dtype=np.int32))], kinds=[6], label="int32")
op("Mod", [whole(-50, 50, 40), Const(whole(1, 9, 40) * np.where(whole(0, 2, 40) == 1, -1, 1))], kinds=[I64], opsets=(10, 13), label="int64")
op("Mod", [whole(-50, 50, 40), Const(whole(2, 9, 40))], {"fmod": 1}, kinds=[I64], label="fmod_int64")
op("Mod", [real(40), positive(40)], {"fmod": 1}, label="fmod")
op("Pow", [positive(4), whole(-2, 3, 4)], label="int_exponent")
op("Pow", [whole(1, 5, 4), Const(np.float32(2))], kinds=[I64], label="int_base")
op("Max", [real(2, 3), real(3), real(1)], label="three", opsets=(8 + 1, 13))
op("Max", [whole(0, 9, 3), whole(0, 9, 3)], kinds=[I64], label="int64")
op("Mean", [real(2, 3), real(3), real(1)], opsets=(9, 13))
op("Sum", [real(2, 3), real(3), real(1)], opsets=(9, 13))
op("Sum", [real(2, 3)], label="one")
for kind in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"):
    opsets = (12,) if kind.endswith("Equal") and kind != "Equal" else (11, 13)
    op(kind, [whole(0, 3, 4, 5), whole(0, 3, 5)], kinds=[9], opsets=opsets)
    op(kind, [X, Const(np.float32(0.2))], kinds=[9], label="const")
for kind in ("And", "Or", "Xor"):
    op(kind, [flags(4, 5), flags(5)], kinds=[9])
op("Not", [flags(4, 5)], kinds=[9])
op("Where", [flags(3, 1), real(3, 4), real(4)], opsets=(9, 16))
op("IsNaN", [np.array([1, np.nan, np.inf], np.float32)], kinds=[9])
op("IsInf", [np.array([1, np.nan, np.inf, -np.inf], np.float32)], kinds=[9])
op("IsInf", [np.array([1, np.nan, np.inf, -np.inf], np.float32)], {"detect_negative": 0}, kinds=[9], label="positive")
for kind in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    op(kind, [whole(0, 99, 4), whole(0, 99, 4)], kinds=[I64], opsets=(18,))
op("BitwiseNot", [whole(0, 99, 4)], kinds=[I64], opsets=(18,))
op("Clip", [X], {"min": -0.5, "max": 0.5}, opsets=(9,))
op("Clip", [X], {"min": 0.0}, opsets=(9,), label="below")
op("Clip", [X, Const(np.float32(-0.5)), Const(np.float32(0.5))], opsets=(11, 13))
op("Clip", [X * 5, Const(np.float32(0)), Const(np.float32(6))], label="six")
op("Clip", [X, None, Const(np.float32(0.5))], label="above")
op("Clip", [X], label="free")
op("Clip", [X, np.float32(-0.2).reshape(()), np.float32(0.4).reshape(())], label="computed")
op("Clip", [whole(-9, 9, 8), Const(np.int64(-3)), Const(np.int64(4))], kinds=[I64], label="int64")
op("Cast", [X * 5], {"to": 7}, kinds=[7], opsets=(9, 13, 19))
op("Cast", [whole(-1, 2, 5)], {"to": 9}, kinds=[9], label="bool")
op("Cast", [flags(5)], {"to": 1}, label="from_bool")
op("Cast", [X], {"to": 11}, kinds=[11], label="double")
op("CastLike", [whole(-3, 3, 5), Const(np.float32(1))], opsets=(15,))

# Layers.
W = real(4, 3, 3, 3)
op("Conv", [X, Const(W), Const(real(4))], opsets=(9, 11))
op("Conv", [X, Const(W)], {"pads": [1, 2, 0, 1], "strides": [2, 1]}, label="asymmetric")
op("Conv", [X, Const(W)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, label="same_upper")
op("Conv", [X, Const(W)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, label="same_lower")
op("Conv", [X, Const(W)], {"auto_pad": "VALID"}, label="valid")
op("Conv", [X, Const(W)], {"dilations": [2, 3], "pads": [2, 3, 2, 3]}, label="dilated")
op("Conv", [X, Const(real(6, 1, 3, 3)), Const(real(6))], {"group": 3, "pads": [1, 1, 1, 1]}, label="depthwise")
op("Conv", [X, W], label="computed_weight")
op("Conv", [real(2, 3, 11), Const(real(4, 3, 3))], {"strides": [2], "pads": [1, 0]}, label="1d")
op("Conv", [real(1, 2, 5, 6, 7), Const(real(3, 2, 3, 2, 3))], {"pads": [1, 0, 1, 1, 0, 1]}, label="3d")
T = real(3, 4, 3, 3)
op("ConvTranspose", [X, Const(T), Const(real(4))], opsets=(9, 11))
op("ConvTranspose", [X, Const(T)], {"strides": [2, 3], "pads": [1, 1, 1, 1], "output_padding": [1, 2]}, label="padded")
op("ConvTranspose", [X, Const(T)], {"strides": [2, 2], "pads": [0, 1, 1, 0]}, label="asymmetric")
op("ConvTranspose", [X, Const(T)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, label="same_upper")
op("ConvTranspose", [X, Const(T)], {"strides": [2, 2], "output_shape": [14, 18]}, label="shape")
op("ConvTranspose", [X, Const(real(3, 2, 3, 3))], {"group": 3, "dilations": [2, 1]}, label="groups")
op("ConvTranspose", [real(1, 3, 8), Const(real(3, 2, 4))], {"strides": [2]}, label="1d")
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
for kind in ("MaxPool", "AveragePool"):
    op(kind, [X], POOL, opsets=(9, 11, 12) if kind == "MaxPool" else (9, 10, 11, 19))
    op(kind, [X], {**POOL, "pads": [1, 1, 1, 1]}, opsets=(11, 19), label="padded")
    op(kind, [X], {**POOL, "pads": [0, 1, 1, 2]}, opsets=(11,), label="asymmetric")
    op(kind, [X], {**POOL, "ceil_mode": 1}, opsets=(11,), label="ceil")
    op(kind, [X], {"kernel_shape": [2, 3], "strides": [3, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]}, opsets=(12,), label="ceil_padded")
    op(kind, [X], {**POOL, "auto_pad": "SAME_UPPER"}, opsets=(11,), label="same_upper")
    op(kind, [X], {**POOL, "auto_pad": "SAME_LOWER"}, opsets=(11,), label="same_lower")
    op(kind, [real(2, 3, 11)], {"kernel_shape": [3], "pads": [1, 1]}, opsets=(11,), label="1d")
    op(kind, [real(1, 2, 6, 7, 5)], {"kernel_shape": [3, 2, 2], "strides": [2, 2, 2]}, opsets=(11,), label="3d")
op("MaxPool", [X], {**POOL, "dilations": [2, 2]}, opsets=(11,), label="dilated")
op("AveragePool", [X], {**POOL, "pads": [1, 1, 1, 1], "count_include_pad": 1}, opsets=(9, 11), label="counted")
op("AveragePool", [X], {**POOL, "pads": [0, 1, 1, 2], "count_include_pad": 1}, opsets=(11,), label="counted_asymmetric")
op("LpPool", [X], {**POOL, "p": 2}, opsets=(11,))
op("LpPool", [X], {**POOL, "p": 3, "pads": [1, 0, 1, 1]}, opsets=(11,), label="cubic")
for kind in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
    op(kind, [X], opsets=(9,))
    op(kind, [real(2, 3, 8)], opsets=(9,), label="1d")
op("Gemm", [real(4, 5), Const(real(5, 6)), Const(real(6))], opsets=(9, 11, 13))
op("Gemm", [real(5, 4), Const(real(6, 5)), Const(real(4, 1))], {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}, label="turned")
op("Gemm", [real(4, 5), real(5, 6), real(1, 6)], {"alpha": 0.5, "beta": 0.3}, label="computed")
op("Gemm", [real(4, 5), Const(real(5, 6))], opsets=(11,), label="bare")
op("Gemm", [real(4, 5), Const(real(5, 6)), Const(np.float32(2))], label="scalar_bias")
op("MatMul", [real(2, 4, 5), Const(real(5, 6))], opsets=(9, 13))
op("MatMul", [real(2, 1, 4, 5), real(3, 5, 6)], label="batched")
op("MatMul", [real(5), real(3, 5, 6)], label="vector")
op("MatMul", [real(3, 5, 6), real(6)], label="by_vector")
op("MatMul", [real(5), Const(real(5))], label="dot")
op("Einsum", [real(2, 3, 4), real(2, 4, 5)], {"equation": "bij,bjk->bik"}, opsets=(12,))
op("Einsum", [real(3, 4), real(4)], {"equation": "ij,j"}, opsets=(12,), label="implicit")
op("Einsum", [real(3, 3)], {"equation": "ii->i"}, opsets=(12,), label="diagonal")
op("Einsum", [real(2, 3, 4, 5), real(2, 6, 4, 5)], {"equation": "bhwc, bkwc -> bhkw"}, opsets=(13,), label="four")
op("Dropout", [X], opsets=(9, 12))

# Normalisation.
op("BatchNormalization", [X, Const(real(3)), Const(real(3)), Const(real(3)), Const(positive(3))], {"epsilon": 1e-3}, opsets=(9, 14, 15))
op("BatchNormalization", [real(4, 3), Const(real(3)), Const(real(3)), Const(real(3)), Const(positive(3))], opsets=(9,), label="flat")
op("InstanceNormalization", [X, Const(real(3)), Const(real(3))], {"epsilon": 1e-3}, opsets=(9,))
op("LayerNormalization", [X, Const(real(9)), Const(real(9))], opsets=(17,))
op("LayerNormalization", [X, Const(real(7, 9))], {"axis": 2, "epsilon": 1e-3}, opsets=(17,), label="wide")
op("GroupNormalization", [real(2, 6, 5, 4), Const(real(3)), Const(real(3))], {"num_groups": 3, "epsilon": 1e-3}, opsets=(18, 20))
op("LRN", [real(2, 7, 5, 4)], {"size": 3, "alpha": 0.2, "beta": 0.6, "bias": 1.2}, opsets=(9, 13))
op("MeanVarianceNormalization", [X], opsets=(9, 13))
op("LpNormalization", [X], {"axis": 1, "p": 1}, opsets=(9,))
op("LpNormalization", [X], opsets=(9,), label="two")
for kind in ("Softmax", "LogSoftmax", "Hardmax"):
    op(kind, [X], opsets=(9, 11, 13))
    op(kind, [X], {"axis": 2}, opsets=(9, 13), label="inner")
    op(kind, [X], {"axis": -1}, opsets=(11, 13), label="last")
    op(kind, [real(2, 5, 1, 1)], opsets=(9,), label="column")

# Reductions.
for kind in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"):
    data = positive(2, 3, 4)
    op(kind, [data], {"axes": [1, -1]}, opsets=(9, 13))
    op(kind, [data], {"keepdims": 0}, opsets=(11,), label="all")
    op(kind, [data, ints(-1, 0)], {"keepdims": 0}, opsets=(18, 20), label="input")
    op(kind, [data], {"noop_with_empty_axes": 1}, opsets=(18,), label="noop")
op("ReduceSum", [X], {"axes": [2], "keepdims": 0}, opsets=(9, 11))
op("ReduceSum", [X, ints(1, 2)], opsets=(13, 18), label="input")
op("ReduceSum", [X], {"noop_with_empty_axes": 1}, label="noop")
op("ReduceSum", [whole(-9, 9, 3, 4, dtype=np.int32), ints(0)], kinds=[6], label="int32")
op("ReduceMax", [whole(-9, 9, 3, 4)], {"axes": [1]}, opsets=(12,), kinds=[I64], label="int64")
ties = np.array([[3, 1, 3, 2], [0, 5, 5, 5]], np.float32)
for kind in ("ArgMax", "ArgMin"):
    op(kind, [ties], {"axis": 1}, opsets=(9, 12, 13), kinds=[I64])
    op(kind, [ties], {"axis": -1, "keepdims": 0, "select_last_index": 1}, opsets=(12,), kinds=[I64], label="last")
op("TopK", [ties, ints(3)], opsets=(10, 11), outputs=2, kinds=[1, I64])
op("TopK", [X, ints(2)], {"axis": 1, "largest": 0}, opsets=(11,), outputs=2, kinds=[1, I64], label="smallest")
op("TopK", [ties], {"k": 2}, opsets=(9,), outputs=2, kinds=[1, I64])
for exclusive in (0, 1):
    for reverse in (0, 1):
        op("CumSum", [X, Const(np.int64(2))], {"exclusive": exclusive, "reverse": reverse}, opsets=(11, 14), label=f"{exclusive}{reverse}")

# Shapes.
op("Reshape", [X, ints(0, -1, 3)], opsets=(9, 13, 14, 19))
op("Flatten", [X], opsets=(9, 13))
op("Flatten", [X], {"axis": 0}, opsets=(11,), label="all")
op("Flatten", [X], {"axis": -1}, opsets=(11,), label="last")
op("Transpose", [X], opsets=(9,))
op("Transpose", [X], {"perm": [0, 2, 3, 1]}, opsets=(13,), label="perm")
op("Squeeze", [real(1, 3, 1, 2)], opsets=(9, 13))
op("Squeeze", [real(1, 3, 1, 2)], {"axes": [2]}, opsets=(9, 11), label="axes")
op("Squeeze", [real(1, 3, 1, 2), ints(-2, 0)], opsets=(13,), label="axes")
op("Unsqueeze", [real(3, 2)], {"axes": [0, 3]}, opsets=(9, 11))
op("Unsqueeze", [real(3, 2), ints(-1, 1)], opsets=(13,))
op("Concat", [real(2, 3), real(2, 1), Const(real(2, 2))], {"axis": 1}, opsets=(9, 13))
op("Concat", [real(2, 3), real(1, 3)], {"axis": -2}, opsets=(11,), label="negative")
op("Split", [real(2, 7)], {"axis": 1, "split": [2, 4, 1]}, opsets=(9, 11), outputs=3)
op("Split", [real(2, 7), ints(2, 4, 1)], {"axis": 1}, opsets=(13,), outputs=3)
op("Split", [real(2, 7)], {"axis": 1, "num_outputs": 3}, opsets=(18,), outputs=3)
op("Split", [real(6, 2)], opsets=(11, 13), outputs=3, label="equal")
op("Slice", [X], {"starts": [1, -3], "ends": [3, 100], "axes": [1, 2]}, opsets=(9,))
op("Slice", [X, ints(1, -3), ints(3, 100), ints(1, 2)], opsets=(10, 13))
for label, (a, b, s) in {"back": (-1, -100, -1), "back_two": (6, 0, -2), "back_three": (5, -7, -3), "every_third": (0, 9, 3),
                         "none": (4, 2, 1), "back_none": (2, 4, -1), "far": (2**62, -2**62, -4), "int_min": (6, -2**63 + 1, -1)}.items():
    op("Slice", [X, ints(a), ints(b), ints(2), ints(s)], opsets=(11,), label=label)
op("Expand", [real(3, 1), ints(2, 1, 4)], opsets=(9, 13))
op("Expand", [real(3, 4), ints(1)], label="nothing")
op("Tile", [real(2, 3), ints(2, 3)], opsets=(9, 13))
op("Pad", [X], {"pads": [0, 0, 1, 2, 0, 1, 0, 3], "value": 0.5}, opsets=(9,))
op("Pad", [X, ints(0, 0, 1, 2, 0, 1, 0, 3), Const(np.float32(0.5))], opsets=(11, 13))
op("Pad", [X, ints(0, 0, -1, 2, 0, 0, 0, -3)], label="cut")
op("Pad", [X, ints(1, 2, 0, 3), None, ints(2, -1)], opsets=(18,), label="axes")
for mode in ("reflect", "edge"):
    op("Pad", [X, ints(0, 0, 1, 2, 0, 0, 3, 4)], {"mode": mode}, label=mode)
    op("Pad", [real(4, 5), ints(1, 2, 3, 0)], {"mode": mode}, label=mode + "_flat")
    op("Pad", [X], {"pads": [0, 1, 1, 2, 0, 1, 0, 3], "mode": mode}, opsets=(9,), label=mode)
op("Pad", [real(4, 5), ints(1, 2, 3, 0)], {"mode": "wrap"}, opsets=(19,), label="wrap")
for mode in ("DCR", "CRD"):
    op("DepthToSpace", [real(2, 12, 3, 4)], {"blocksize": 2, "mode": mode}, opsets=(11, 13), label=mode)
op("DepthToSpace", [real(2, 12, 3, 4)], {"blocksize": 2}, opsets=(9,))
op("SpaceToDepth", [real(2, 3, 4, 6)], {"blocksize": 2}, opsets=(9, 13))
op("Sized", [whole(0, 9, 2, 3, 4)], [("Shape", ["x0"], ["s"], {"start": 1, "end": -1}), ("Size", ["x0"], ["n"]), ("Mul", ["s", "n"], ["m"]), ("Add", ["x0", "m"], ["y0"])], kinds=[I64], opsets=(15,))
op("Eye", [real(4, 6)], [("EyeLike", ["x0"], ["e"], {"k": 1}), ("Add", ["x0", "e"], ["y0"])], opsets=(9,))
op("Trilu", [real(2, 4, 5)], opsets=(14,))
op("Trilu", [real(2, 4, 5), Const(np.int64(-1))], {"upper": 0}, opsets=(14,), label="lower")

# By index.
op("Gather", [X, Const(np.array([2, -1, 0], np.int64))], {"axis": 1}, opsets=(9, 13))
op("Gather", [X, Const(np.int64(-1))], {"axis": 2}, opsets=(11,), label="one")
op("Gather", [real(6, 4), whole(-6, 6, 2, 3)], opsets=(11,), label="rows")
op("Gather", [real(6, 4), whole(-4, 4, 2, 3, dtype=np.int32)], {"axis": 1}, opsets=(11,), label="columns")
op("GatherElements", [real(3, 4), whole(-4, 4, 3, 2)], {"axis": 1}, opsets=(11, 13))
op("GatherND", [real(3, 4, 5), whole(-3, 3, 2, 2)], opsets=(11, 13))
op("GatherND", [real(3, 4, 5), whole(0, 4, 3, 2, 1)], {"batch_dims": 1}, opsets=(12,), label="batch")
op("ScatterND", [real(5, 4), Const([[4], [1]], np.int64), real(2, 4)], opsets=(11, 16))
op("ScatterND", [real(5, 4), Const([[1], [1]], np.int64), real(2, 4)], {"reduction": "add"}, opsets=(16,), label="add")
op("ScatterElements", [real(3, 4), Const([[1, -1], [0, 2]], np.int64), real(2, 2)], {"axis": 1}, opsets=(11, 16))
op("ScatterElements", [real(3, 4), Const([[1, 1], [0, 2]], np.int64), real(2, 2)], {"axis": 1, "reduction": "add"}, opsets=(16,), label="add")
op("NonZero", [whole(0, 2, 4, 5).astype(np.float32)], kinds=[I64], opsets=(9,))
op("OneHot", [whole(-5, 5, 2, 3), Const(np.int64(5)), Const(np.array([-1, 2], np.float32))], opsets=(9, 11))
op("OneHot", [whole(0, 9, 2, 3), Const(np.int64(5)), Const(np.array([0, 1], np.float32))], {"axis": 1}, opsets=(11,), label="outside")

# Resizing.
op("Upsample", [X, Const(np.array([1, 1, 2, 3], np.float32))], opsets=(9,))
op("Upsample", [X, Const(np.array([1, 1, 2, 2.5], np.float32))], {"mode": "linear"}, opsets=(9,), label="linear")
op("Resize", [X, Const(np.array([1, 1, 0.6, 1.7], np.float32))], opsets=(10,))
NONE = Const(np.zeros(0, np.float32))
for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
    for mode in ("linear", "cubic"):
        for label, scales in {"up": [1, 1, 2.3, 3], "down": [1, 1, 0.4, 0.6]}.items():
            op("Resize", [X, NONE, Const(np.array(scales, np.float32))], {"mode": mode, "coordinate_transformation_mode": coordinates},
               opsets=(11, 13), label=f"{mode}_{coordinates}_{label}")
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        op("Resize", [X, NONE, NONE, ints(2, 3, 10, 4)], {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding},
           opsets=(11,), label=f"{coordinates}_{rounding}")
op("Resize", [X, None, None, ints(2, 3, 14, 27)], {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, opsets=(13, 19), label="sizes")
op("Resize", [X, None, None, ints(2, 3, 14, 5)], {"mode": "linear"}, opsets=(13, 19), label="linear_sizes")
op("Resize", [X, None, Const(np.array([2, 0.5], np.float32))], {"mode": "linear", "axes": [2, 3]}, opsets=(18,), label="axes")
op("Resize", [X, NONE, Const(np.array([1, 1, 0.4, 2], np.float32))], {"mode": "cubic", "exclude_outside": 1}, opsets=(13,), label="exclude")
op("Resize", [X, NONE, Const(np.array([1, 1, 0.8, 2], np.float32))], {"mode": "cubic", "cubic_coeff_a": -0.5}, opsets=(13,), label="keys")
op("Resize", [real(1, 2, 9), NONE, Const(np.array([1, 1, 2], np.float32))], {"mode": "linear"}, opsets=(13,), label="1d")

# Recurrent layers.
seq = real(5, 2, 4)
for direction, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
    w = {k: Const(real(d, k * 3, 4) * 0.5) for k in (1, 3, 4)}
    r = {k: Const(real(d, k * 3, 3) * 0.5) for k in (1, 3, 4)}
    b = {k: Const(real(d, k * 6) * 0.5) for k in (1, 3, 4)}
    attributes = {"hidden_size": 3, "direction": direction}
    op("LSTM", [seq, w[4], r[4], b[4]], attributes, opsets=(9, 14), outputs=3, label=direction)
    op("LSTM", [seq, w[4], r[4], b[4], None, real(d, 2, 3), real(d, 2, 3)], attributes, outputs=3, label=direction + "_state")
    op("GRU", [seq, w[3], r[3], b[3]], {**attributes, "linear_before_reset": 1}, opsets=(9, 14), outputs=2, label=direction)
    op("RNN", [seq, w[1], r[1], b[1]], attributes, opsets=(9,), outputs=2, label=direction)
op("LSTM", [seq, Const(real(1, 12, 4)), Const(real(1, 12, 3))], {"hidden_size": 3}, outputs=3, label="bare")

# Several nodes: constants, control flow, sequences, folding.
op("Fold", [X, Const(W), Const(real(4)), Const(real(4)), Const(real(4)), Const(real(4)), Const(positive(4))],
   [("Conv", ["x0", "c1", "c2"], ["a"]), ("BatchNormalization", ["a", "c3", "c4", "c5", "c6"], ["b"]), ("Relu", ["b"], ["y0"])], label="batch_norm")
op("Fold", [X, Const(W), Const(real(4)), Const(real(4)), Const(real(4)), Const(positive(4))],
   [("Conv", ["x0", "c1"], ["a"]), ("BatchNormalization", ["a", "c2", "c3", "c4", "c5"], ["b"]), ("Add", ["a", "b"], ["y0"])], label="batch_norm_shared")
op("Shapes", [X],
   [("Shape", ["x0"], ["s"]), ("Constant", [], ["i"], {"value": np.array([0], np.int64)}), ("Gather", ["s", "i"], ["n"]),
    ("Constant", [], ["m"], {"value_ints": [-1]}), ("Concat", ["n", "m"], ["t"], {"axis": 0}), ("Reshape", ["x0", "t"], ["y0"])])
op("Filled", [real(2, 3)],
   [("Shape", ["x0"], ["s"]), ("ConstantOfShape", ["s"], ["f"], {"value": np.array([2.5], np.float32)}), ("Mul", ["x0", "f"], ["y0"])])
op("Ranged", [whole(0, 9, 4), Const(np.int64(3)), Const(np.int64(-5)), Const(np.int64(-2))],
   [("Range", ["c1", "c2", "c3"], ["r"]), ("Add", ["x0", "r"], ["y0"])], kinds=[I64])
op("Branches", [X, Const(np.bool_(True))],
   [("If", ["c1"], ["y0"], {"then_branch": Graph([("Relu", ["x0"], ["t"])], [], [("t", 1)]), "else_branch": Graph([("Neg", ["x0"], ["e"])], [], [("e", 1)])})])
op("Loops", [X, Const(np.int64(3)), Const(np.bool_(True))],
   [("Loop", ["c1", "c2", "x0"], ["y0", "y1"],
     {"body": Graph([("Sin", ["v"], ["w"]), ("Identity", ["cond"], ["more"]), ("Add", ["w", "x0"], ["u"])],
                    [("i", 7, []), ("cond", 9, []), ("v", 1)], [("more", 9), ("u", 1), ("w", 1)])})], outputs=2)
op("Sequences", [real(2, 3), real(2, 3)],
   [("SequenceConstruct", ["x0", "x1"], ["s"]), ("SequenceInsert", ["s", "x0"], ["t"]), ("ConcatFromSequence", ["t"], ["y0"], {"axis": 1})])
op("Listed", [real(6, 3), Const(np.int64(2)), Const(np.int64(-1))],
   [("SplitToSequence", ["x0", "c1"], ["s"]), ("SequenceAt", ["s", "c2"], ["y0"]), ("ConcatFromSequence", ["s"], ["y1"], {"axis": 0, "new_axis": 1})], outputs=2)
op("Emptied", [real(2, 3), real(2, 3), Const(np.int64(0))],
   [("SequenceEmpty", [], ["e"]), ("SequenceInsert", ["e", "x0"], ["s"]), ("SequenceInsert", ["s", "x1", "c2"], ["t"]),
    ("SequenceErase", ["t", "c2"], ["u"]), ("SequenceLength", ["t"], ["n"]), ("Cast", ["n"], ["f"], {"to": 1}),
    ("SequenceAt", ["u", "c2"], ["v"]), ("Mul", ["v", "f"], ["y0"])])
half = Const(np.float32(0.5))
op("Spelled", [X, Const(np.float32(2 ** 0.5)), Const(np.float32(1)), half],
   [("Div", ["x0", "c1"], ["a"]), ("Erf", ["a"], ["b"]), ("Add", ["b", "c2"], ["c"]), ("Mul", ["x0", "c"], ["d"]), ("Mul", ["d", "c3"], ["y0"])], label="gelu")
op("Spelled", [X * 4, Const(np.float32(3)), Const(np.float32(0)), Const(np.float32(6))],
   [("Add", ["x0", "c1"], ["a"]), ("Clip", ["a", "c2", "c3"], ["b"]), ("Mul", ["x0", "b"], ["c"]), ("Div", ["c", "c3"], ["y0"])], label="hard_swish")
op("Spelled", [X, Const(np.float32(2)), Const(np.float32(1e-3)), Const(real(9)), Const(real(9))],
   [("ReduceMean", ["x0"], ["m"], {"axes": [-1]}), ("Sub", ["x0", "m"], ["d"]), ("Pow", ["d", "c1"], ["p"]), ("ReduceMean", ["p"], ["v"], {"axes": [-1]}),
    ("Add", ["v", "c2"], ["e"]), ("Sqrt", ["e"], ["s"]), ("Div", ["d", "s"], ["n"]), ("Mul", ["n", "c3"], ["w"]), ("Add", ["w", "c4"], ["y0"])], label="layer_norm")
op("Spelled", [real(2, 4, 5), Const(real(5, 6)), Const(real(6))],
   [("MatMul", ["x0", "c1"], ["a"]), ("Add", ["c2", "a"], ["y0"])], label="linear")



def check_all_are_tried():
    """Every operator of the table in docs/onnx.md, which another test holds against the code."""
    page = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "onnx.md")
    with open(page) as file:
        known = {line.split("`")[1] for line in file if line.startswith("| `")}
    tried = set()
    for _, kind, _, attributes, *_ in CASES:
        nodes = attributes if isinstance(attributes, list) else [(kind, [], [], attributes)]
        tried.update(n[0] for n in nodes)
    assert known and known <= tried, f"no case for {sorted(known - tried)}"


if __name__ == "__main__":
    check_all_are_tried()
    os.makedirs(sys.argv[1], exist_ok=True)
    write(sys.argv[1])
