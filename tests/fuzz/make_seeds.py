#!/usr/bin/env python3
"""Writes the seeds of the readers of foreign formats: archives, pickles, arrays, shapes.

Needs Python alone; equal every time. Those of cleave's own formats come from replay_test.cpp.
"""
import io
import pathlib
import struct
import zipfile

seeds = pathlib.Path(__file__).parent / "seeds"


def write(target, name, content):
    (seeds / target).mkdir(parents=True, exist_ok=True)
    (seeds / target / name).write_bytes(content)


def number(value):
    return b"J" + struct.pack("<i", value)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def tensor(sizes, strides, elements=4):
    """One float32 tensor over the storage "0", as libtorch's pickler writes it."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\nq\x00((" + text(b"storage") + b"ctorch\nFloatStorage\n"
        + text(b"0") + text(b"cpu") + number(elements) + b"tQ" + b"K\x00"
        + b"(" + b"".join(map(number, sizes)) + b"t(" + b"".join(map(number, strides)) + b"t"
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


one = b"\x80\x02" + tensor([2, 2], [2, 1]) + b"."
module = (
    b"\x80\x02c__torch__\nNetwork\n)\x81}(" + text(b"weight") + tensor([4], [1]) + text(b"training")
    + b"\x89" + text(b"name") + b"Nubq\x01."
)
others = b"\x80\x02](K\x01M\x02\x01G?\xf0\0\0\0\0\0\0\x8a\x08" + b"\1\0\0\0\0\0\0\0" + b"\x88e}N\x88s\x85h\x00."
write("pickle", "tensor", one)
write("pickle", "module", module)
write("pickle", "others", others)


def archive(method, data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        def add(name, content):
            entry = zipfile.ZipInfo("network/" + name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = method
            package.writestr(entry, content)
        add("data.pkl", data)
        add("constants.pkl", b"\x80\x02).")
        add("code/__torch__.py", b"op_version_set = 1\nclass Network(Module):\n  weight : Tensor\n")
        add("data/0", bytes(range(16)))
        add("version", b"3\n")
    return out.getvalue()


write("archive", "stored", archive(zipfile.ZIP_STORED, one))
write("archive", "deflated", archive(zipfile.ZIP_DEFLATED, module))

for name, spec in {"image": b"1x3x224x224", "words": b"1x77:int64", "scalar": b"scalar:bool"}.items():
    write("input_spec", name, spec)


def npy(descr, fortran, shape, content):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


write("npy", "float32", npy("<f4", False, "(2, 3)", struct.pack("<6f", *range(6))))
write("npy", "fortran", npy("<i8", True, "(2, 2)", struct.pack("<4q", *range(4))))
write("npy", "bool", npy("|b1", False, "()", b"\x01"))


def field(tag, value):
    """One field of a protobuf message: a number, or bytes with their length."""
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    return varint(tag << 3 | 2) + varint(len(value)) + value


def value_info(name, sizes):
    shape = b"".join(field(1, field(1, size)) for size in sizes)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def initializer(name, sizes):
    count = 1
    for size in sizes:
        count *= size
    content = struct.pack(f"<{count}f", *(((i * 7) % 11 - 5) / 8 for i in range(count)))
    return b"".join(field(1, size) for size in sizes) + field(2, 1) + field(8, name) + field(9, content)


def node(op, inputs, outputs):
    return b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outputs) + field(4, op)


graph = (
    field(1, node(b"Conv", [b"x", b"a"], [b"h"]))
    + field(1, node(b"Relu", [b"h"], [b"r"]))
    + field(1, node(b"Flatten", [b"r"], [b"f"]))
    + field(1, node(b"Gemm", [b"f", b"b"], [b"y"]))
    + field(2, b"network")
    + field(5, initializer(b"a", [2, 1, 3, 3]))
    + field(5, initializer(b"b", [32, 3]))
    + field(11, value_info(b"x", [1, 1, 6, 6]))
    + field(12, value_info(b"y", [1, 3]))
)
write("onnx", "conv.onnx", field(1, 8) + field(8, field(2, 13)) + field(7, graph))


def numbers(name, kind, values):
    """A constant vector: of int64 (7) or float (1)."""
    content = struct.pack(f"<{len(values)}{'q' if kind == 7 else 'f'}", *values)
    return field(5, field(1, len(values)) + field(2, kind) + field(8, name) + field(9, content))


def word(name, value):
    return field(5, field(1, name) + field(4, value) + field(20, 3))


# Results that are too large, behind constants as long as one of their dimensions.
for name, graph in {
    "pad_too_far.onnx": field(1, node(b"Pad", [b"x", b"p"], [b"y"]) + word(b"mode", b"reflect"))
    + numbers(b"p", 7, [0, 0, 0, 0, 0, 0, 0, 1 << 24]),
    "resize_too_far.onnx": field(1, node(b"Resize", [b"x", b"", b"", b"s"], [b"y"]) + word(b"mode", b"linear")
                                 + word(b"coordinate_transformation_mode", b"asymmetric"))
    + numbers(b"s", 7, [9, 3, 1 << 23, 1]),
}.items():
    graph += field(2, b"network") + field(11, value_info(b"x", [9, 3, 4, 7])) + field(12, value_info(b"y", [1]))
    write("onnx", name, field(1, 8) + field(8, field(2, 13)) + field(7, graph))
