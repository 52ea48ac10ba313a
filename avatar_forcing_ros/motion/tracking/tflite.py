"""Reads a TensorFlow Lite model file: its operators in order, and its weights as arrays.

Only the parts of the format that the face models use are known; fields stand in the order of TensorFlow's schema.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from avatar_forcing_ros.errors import InputError

_TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64}
_NAMES = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE", 6: "DEQUANTIZE",
    14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 34: "PAD", 45: "STRIDED_SLICE",
    54: "PRELU", 117: "HARD_SWISH", 124: "DENSIFY",
}  # fmt: skip
_CUSTOM = 32
_CONV = {"padding": (0, "b", 0), "stride_w": (1, "i", 0), "stride_h": (2, "i", 0)}
_OPTIONS = {  # operator: {option: (field, kind, value where it is left out)}
    "CONV_2D": {**_CONV, "activation": (3, "b", 0), "dilation_w": (4, "i", 1), "dilation_h": (5, "i", 1)},
    "DEPTHWISE_CONV_2D": {**_CONV, "activation": (4, "b", 0), "dilation_w": (5, "i", 1), "dilation_h": (6, "i", 1)},
    "MAX_POOL_2D": {**_CONV, "filter_w": (3, "i", 0), "filter_h": (4, "i", 0), "activation": (5, "b", 0)},
    "AVERAGE_POOL_2D": {**_CONV, "filter_w": (3, "i", 0), "filter_h": (4, "i", 0), "activation": (5, "b", 0)},
    "ADD": {"activation": (0, "b", 0)},
    "MUL": {"activation": (0, "b", 0)},
    "CONCATENATION": {"axis": (0, "i", 0), "activation": (1, "b", 0)},
    "RESIZE_BILINEAR": {"align_corners": (2, "b", 0), "half_pixel_centers": (3, "b", 0)},
    "DEPTH_TO_SPACE": {"block_size": (0, "i", 0)},
    "STRIDED_SLICE": {"begin_mask": (0, "i", 0), "end_mask": (1, "i", 0)},
}


@dataclass(frozen=True)
class Operator:
    """One step of the model. inputs, outputs: numbers of tensors (-1: left out). options: by name."""

    kind: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, Any]


@dataclass
class Model:
    """A model as read. shapes, names: of all tensors. weights: arrays of the constant ones."""

    inputs: list[int]
    outputs: list[int]
    operators: list[Operator]
    shapes: list[tuple[int, ...]]
    names: list[str]
    weights: dict[int, np.ndarray] = field(default_factory=dict)


class _Table:
    """A table of a flatbuffer: a position and the offsets of its fields."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    def _where(self, index: int) -> int:
        place = 4 + 2 * index
        offset = struct.unpack_from("<H", self.data, self._fields + place)[0] if place < self._size else 0
        return self.at + offset if offset else 0

    def scalar(self, index: int, kind: str, default: int = 0) -> int:
        where = self._where(index)
        return struct.unpack_from("<" + kind, self.data, where)[0] if where else default

    def table(self, index: int) -> _Table | None:
        where = self._where(index)
        return _Table(self.data, where + self.scalar(index, "I")) if where else None

    def array(self, index: int, kind: Any) -> np.ndarray:
        """The vector in a field; empty where it is left out."""
        where = self._where(index)
        if not where:
            return np.zeros(0, kind)
        start = where + struct.unpack_from("<I", self.data, where)[0]
        return np.frombuffer(self.data, kind, struct.unpack_from("<I", self.data, start)[0], start + 4)

    def text(self, index: int) -> str:
        return self.array(index, np.uint8).tobytes().decode()

    def tables(self, index: int) -> list[_Table]:
        where = self._where(index)
        if not where:
            return []
        start = where + struct.unpack_from("<I", self.data, where)[0]
        places = range(start + 4, start + 4 + 4 * struct.unpack_from("<I", self.data, start)[0], 4)
        return [_Table(self.data, p + struct.unpack_from("<I", self.data, p)[0]) for p in places]


def read_model(data: bytes) -> Model:
    """The model in a .tflite file's bytes. Raises InputError for anything else, or an operator that is not known here."""
    if data[4:8] != b"TFL3":
        raise InputError("this is not a TensorFlow Lite model: its first bytes are not those of one")
    root = _Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = [(max(c.scalar(0, "b"), c.scalar(3, "i")), c.text(1)) for c in root.tables(1)]
    buffers = root.tables(4)
    graph = root.tables(2)[0]
    tensors = graph.tables(0)
    model = Model(
        inputs=graph.array(1, np.int32).tolist(),
        outputs=graph.array(2, np.int32).tolist(),
        operators=[_operator(o, codes) for o in graph.tables(3)],
        shapes=[tuple(t.array(0, np.int32).tolist()) for t in tensors],
        names=[t.text(3) for t in tensors],
    )
    for index, tensor in enumerate(tensors):
        values = buffers[tensor.scalar(2, "I")].array(0, np.uint8)
        if values.size:
            values = values.view(_TYPES[tensor.scalar(1, "b")])
            sparsity = tensor.table(6)
            model.weights[index] = (
                values.reshape(model.shapes[index])
                if sparsity is None
                else _dense(values, sparsity, model.shapes[index])
            )
    return model


def _operator(operator: _Table, codes: list[tuple[int, str]]) -> Operator:
    code, custom = codes[operator.scalar(0, "I")]
    if code != _CUSTOM and code not in _NAMES:
        raise InputError(
            f"the model has an operator (number {code}) that is not known here: give the models of mediapipe 0.10.21"
        )
    kind = custom if code == _CUSTOM else _NAMES[code]
    options: dict[str, Any] = {}
    if code == _CUSTOM:
        raw = operator.array(5, np.uint8).tobytes()
        options = _custom_options(kind, raw)
    elif kind in _OPTIONS:
        table = operator.table(4)
        options = {n: table.scalar(*where) if table else where[2] for n, where in _OPTIONS[kind].items()}
    return Operator(kind, operator.array(1, np.int32).tolist(), operator.array(2, np.int32).tolist(), options)


def _custom_options(kind: str, raw: bytes) -> dict[str, Any]:
    if kind == "Convolution2DTransposeBias":  # a plain structure: padding, width and height of the stride
        return dict(zip(("padding", "stride_w", "stride_h"), struct.unpack_from("<3i", raw)))
    return flexbuffers.Loads(raw) if raw else {}


def _dense(values: np.ndarray, sparsity: _Table, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a sparse weight: its dimensions are traversed in a given order, some of them as blocks."""
    order, blocks = sparsity.array(0, np.int32).tolist(), sparsity.array(1, np.int32).tolist()
    levels = [_level(d) for d in sparsity.tables(2)]
    sizes = [level[1] for level in levels]
    for place, dimension in enumerate(
        order
    ):  # a sparse dimension's size is that of the shape, without what its blocks hold
        if levels[place][0]:
            inner = [sizes[p] for p, d in enumerate(order) if d >= len(shape) and blocks[d - len(shape)] == dimension]
            sizes[place] = shape[dimension] // int(np.prod(inner, initial=1))
    found = np.zeros((len(values), len(order)), np.int64)
    counter = iter(range(len(values)))

    def walk(place: int, parent: int, at: list[int]) -> None:
        if place == len(order):
            found[next(counter)] = at
            return
        sparse, _, segments, indices = levels[place]
        if not sparse:
            for i in range(sizes[place]):
                walk(place + 1, parent * sizes[place] + i, [*at, i])
            return
        for i in range(segments[parent], segments[parent + 1]):
            walk(place + 1, i, [*at, int(indices[i])])

    walk(0, 0, [])
    place_of = {d: p for p, d in enumerate(order)}
    where = []
    for dimension in range(len(shape)):
        index = found[:, place_of[dimension]]
        for block, mapped in enumerate(blocks):
            if mapped == dimension:
                index = index * sizes[place_of[len(shape) + block]] + found[:, place_of[len(shape) + block]]
        where.append(index)
    dense = np.zeros(shape, values.dtype)
    dense[tuple(where)] = values
    return dense


def _level(dimension: _Table) -> tuple[bool, int, np.ndarray, np.ndarray]:
    """(sparse, size where dense, segments, indices)"""
    vectors = {1: np.int32, 2: np.uint16, 3: np.uint8}

    def vector(i: int) -> np.ndarray:
        kind = dimension.scalar(i, "B")
        if not kind:
            return np.zeros(0, np.int64)
        table = dimension.table(i + 1)
        assert table is not None
        return table.array(0, vectors[kind]).astype(np.int64)

    segments, indices = vector(2), vector(4)
    return bool(dimension.scalar(0, "b")), dimension.scalar(1, "i"), segments, indices
