"""Rebuilds a TensorFlow Lite face model as an ONNX model, weights and all, so that ONNX Runtime can run it.

Images are laid out (channels, height, width) inside, as ONNX wants them; inputs and outputs stay as in the original. The three
custom operators of the attention mesh, which cut the eyes and lips out of a feature map and put their points back into the
face, become ordinary ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.tracking.tflite import Model, Operator

OPSET = 17
_RELU = 1
_SAME = 0


def rebuild(model: Model) -> onnx.ModelProto:
    """The ONNX model that computes what `model` does. Raises InputError for an operator that it does not know."""
    return _Graph(model).build()


class _Graph:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.value: dict[
            int, str
        ] = {}  # tensor: name of the value that holds it, its channels first where it is an image
        self.affine: dict[
            int, tuple[str, str]
        ] = {}  # tensor of a 4 x 4 matrix: names of its (2, 2) part and its shift (2,)
        self.rows: dict[int, str] = {}  # image: its pixels as rows of channels
        self.weights = dict(model.weights)
        self._count = 0

    def build(self) -> onnx.ModelProto:
        model = self.model
        inputs = [
            helper.make_tensor_value_info(model.names[i], TensorProto.FLOAT, model.shapes[i]) for i in model.inputs
        ]
        for index in model.inputs:
            self.value[index] = self.add("Transpose", [model.names[index]], perm=[0, 3, 1, 2])
        for operator in model.operators:
            convert = getattr(self, "_" + operator.kind.lower(), None)
            if convert is None:
                raise InputError(f"the model has the operator {operator.kind}, which cannot be rebuilt")
            convert(operator)
        outputs = []
        for index in model.outputs:
            self.add("Identity", [self.as_it_was(index)], output=model.names[index])
            outputs.append(helper.make_tensor_value_info(model.names[index], TensorProto.FLOAT, model.shapes[index]))
        graph = helper.make_graph(self.nodes, "face", inputs, outputs, self.constants)
        built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(built)
        return built

    # Building blocks

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        self._count += 1
        name = output or f"v{self._count}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, values: Any, kind: Any = np.float32) -> str:
        self._count += 1
        name = f"c{self._count}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, kind), name))
        return name

    def shape(self, index: int) -> tuple[int, ...]:
        return self.model.shapes[index]

    def is_image(self, index: int) -> bool:
        return len(self.shape(index)) == 4

    def of(self, index: int) -> str:
        """The value of a tensor, or of a constant one."""
        if index not in self.value:
            values = self.weights[index]
            self.value[index] = self.constant(values.transpose(0, 3, 1, 2) if values.ndim == 4 else values)
        return self.value[index]

    def as_it_was(self, index: int) -> str:
        """The value of a tensor with its channels last, as the original has it."""
        return self.add("Transpose", [self.of(index)], perm=[0, 2, 3, 1]) if self.is_image(index) else self.of(index)

    def keep(self, operator: Operator, value: str) -> None:
        self.value[operator.outputs[0]] = (
            self.add("Relu", [value]) if operator.options.get("activation", 0) == _RELU else value
        )

    def pads(self, operator: Operator, height: int, width: int) -> list[int]:
        """What `SAME` padding adds: top, left, bottom, right."""
        if operator.options["padding"] != _SAME:
            return [0, 0, 0, 0]
        sides = []
        for axis, size, step in ((1, height, operator.options["stride_h"]), (2, width, operator.options["stride_w"])):
            have, out = self.shape(operator.inputs[0])[axis], self.shape(operator.outputs[0])[axis]
            missing = max((out - 1) * step + size - have, 0)
            sides.append((missing // 2, missing - missing // 2))
        return [sides[0][0], sides[1][0], sides[0][1], sides[1][1]]

    # Operators, named as TensorFlow Lite names them

    def _dequantize(self, operator: Operator) -> None:
        self.weights[operator.outputs[0]] = self.weights[operator.inputs[0]].astype(np.float32)

    def _densify(self, operator: Operator) -> None:
        self.weights[operator.outputs[0]] = self.weights[operator.inputs[0]]

    def _convolution(self, operator: Operator, kernel: np.ndarray, groups: int) -> None:
        """kernel: (out, in of a group, height, width)"""
        o = operator.options
        inputs = [self.of(operator.inputs[0]), self.constant(kernel)]
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            inputs.append(self.constant(self.weights[operator.inputs[2]]))
        dilation = [o["dilation_h"], o["dilation_w"]]
        height, width = ((size - 1) * d + 1 for size, d in zip(kernel.shape[2:], dilation))
        value = self.add(
            "Conv", inputs, group=groups, strides=[o["stride_h"], o["stride_w"]], dilations=dilation,
            kernel_shape=list(kernel.shape[2:]), pads=self.pads(operator, height, width),
        )  # fmt: skip
        self.keep(operator, value)

    def _conv_2d(self, operator: Operator) -> None:
        self._convolution(operator, self.weights[operator.inputs[1]].transpose(0, 3, 1, 2), 1)

    def _depthwise_conv_2d(self, operator: Operator) -> None:
        kernel = self.weights[operator.inputs[1]].transpose(3, 0, 1, 2)
        self._convolution(operator, kernel, self.shape(operator.inputs[0])[3])

    def _convolution2dtransposebias(self, operator: Operator) -> None:
        o = operator.options
        kernel = self.weights[operator.inputs[1]].transpose(3, 0, 1, 2)  # (in, out, height, width)
        inputs = [self.of(operator.inputs[0]), self.constant(kernel), self.constant(self.weights[operator.inputs[2]])]
        self.keep(
            operator,
            self.add(
                "ConvTranspose", inputs, strides=[o["stride_h"], o["stride_w"]], kernel_shape=list(kernel.shape[2:])
            ),
        )

    def _max_pool_2d(self, operator: Operator, kind: str = "MaxPool") -> None:
        o = operator.options
        size = [o["filter_h"], o["filter_w"]]
        pads = self.pads(operator, *size)
        value = self.add(
            kind, [self.of(operator.inputs[0])], kernel_shape=size, strides=[o["stride_h"], o["stride_w"]], pads=pads
        )
        self.keep(operator, value)

    def _average_pool_2d(self, operator: Operator) -> None:
        self._max_pool_2d(operator, "AveragePool")

    def _two(self, operator: Operator, kind: str) -> None:
        self.keep(operator, self.add(kind, [self.of(i) for i in operator.inputs]))

    def _add(self, operator: Operator) -> None:
        self._two(operator, "Add")

    def _mul(self, operator: Operator) -> None:
        if operator.inputs[0] in self.affine:
            turn, shift = self.affine[operator.inputs[0]]
            by = self.weights[operator.inputs[1]].reshape(4, 4)
            self.affine[operator.outputs[0]] = (
                self.add("Mul", [turn, self.constant(by[:2, :2])]), self.add("Mul", [shift, self.constant(by[:2, 3])]),
            )  # fmt: skip
            return
        self._two(operator, "Mul")

    def _relu(self, operator: Operator) -> None:
        self.keep(operator, self.add("Relu", [self.of(operator.inputs[0])]))

    def _logistic(self, operator: Operator) -> None:
        self.keep(operator, self.add("Sigmoid", [self.of(operator.inputs[0])]))

    def _hard_swish(self, operator: Operator) -> None:
        self.keep(operator, self.add("HardSwish", [self.of(operator.inputs[0])]))

    def _per_channel(self, value: str, factors: np.ndarray) -> str:
        """Each channel times its factor. As a convolution, ONNX Runtime keeps its own layout of images, which a product breaks."""
        return self.add(
            "Conv", [value, self.constant(factors.reshape(-1, 1, 1, 1))], group=factors.size, kernel_shape=[1, 1]
        )

    def _prelu(self, operator: Operator) -> None:
        """slope x + (1 - slope) relu(x): some times faster than ONNX Runtime's PRelu."""
        value, slope = self.of(operator.inputs[0]), self.weights[operator.inputs[1]].reshape(-1)
        parts = [self._per_channel(value, slope), self._per_channel(self.add("Relu", [value]), 1.0 - slope)]
        self.keep(operator, self.add("Add", parts))

    def _pad(self, operator: Operator) -> None:
        amounts = self.weights[operator.inputs[1]]
        value, channels = self.of(operator.inputs[0]), self.shape(operator.inputs[0])[3]
        if amounts[3].any() and channels % 16 == 0:  # more channels, of zeros: a convolution too, for the same reason
            kernel = np.pad(np.eye(channels), (amounts[3], (0, 0)))
            value = self.add("Conv", [value, self.constant(kernel[:, :, None, None])], kernel_shape=[1, 1])
            amounts = np.array([*amounts[:3], (0, 0)])
        if amounts.any():
            sides = amounts[[0, 3, 1, 2]]
            value = self.add("Pad", [value, self.constant(sides.T.reshape(-1), np.int64)])
        self.keep(operator, value)

    def _concatenation(self, operator: Operator) -> None:
        axis = operator.options["axis"]
        axis = [0, 2, 3, 1][axis] if self.is_image(operator.inputs[0]) else axis
        self.keep(operator, self.add("Concat", [self.of(i) for i in operator.inputs], axis=axis))

    def _reshape(self, operator: Operator) -> None:
        shape = self.shape(operator.outputs[0])
        value = self.add("Reshape", [self.as_it_was(operator.inputs[0]), self.constant(shape, np.int64)])
        self.value[operator.outputs[0]] = (
            self.add("Transpose", [value], perm=[0, 3, 1, 2]) if len(shape) == 4 else value
        )

    def _resize_bilinear(self, operator: Operator) -> None:
        o, (height, width) = operator.options, self.shape(operator.outputs[0])[1:3]
        way = "align_corners" if o["align_corners"] else "half_pixel" if o["half_pixel_centers"] else "asymmetric"
        size = self.constant([1, self.shape(operator.outputs[0])[3], height, width], np.int64)
        inputs = [self.of(operator.inputs[0]), "", "", size]
        self.keep(operator, self.add("Resize", inputs, mode="linear", coordinate_transformation_mode=way))

    def _depth_to_space(self, operator: Operator) -> None:
        self.keep(
            operator,
            self.add(
                "DepthToSpace", [self.of(operator.inputs[0])], blocksize=operator.options["block_size"], mode="DCR"
            ),
        )

    def _strided_slice(self, operator: Operator) -> None:
        begin, end, step = (self.weights[i].tolist() for i in operator.inputs[1:])
        shape = list(self.shape(operator.inputs[0]))
        if begin != [0] * len(shape) or end != shape or step != [1] * len(shape):
            raise InputError("the model takes a part of a tensor, which cannot be rebuilt")
        self.value[operator.outputs[0]] = self.of(operator.inputs[0])

    def _landmarks2transformmatrix(self, operator: Operator) -> None:
        """From a face's landmarks to the crop around some of them: level between two, as wide as they spread, times a scale."""
        o = operator.options
        if o["target_rotation_radians"] != 0.0:
            raise InputError("the model turns a crop to an angle, which cannot be rebuilt")
        points = self.add("Reshape", [self.of(operator.inputs[0]), self.constant([-1, 3], np.int64)])
        points = self.add("Slice", [points, *(self.constant([v], np.int64) for v in (0, 2, 1))])  # (468, 2): x, y
        ends = self.constant([o["left_rotation_idx"], o["right_rotation_idx"]], np.int64)
        along = self.add("MatMul", [self.constant([[-1.0, 1.0]]), self.add("Gather", [points, ends], axis=0)])
        along = self.add("Div", [along, self.add("ReduceL2", [along], axes=[1], keepdims=1)])  # (1, 2): cosine, sine
        spread = np.array([[1, 0, 0, 1], [0, -1, 1, 0]])  # to ((cosine, -sine), (sine, cosine))
        turn = self.add(
            "Reshape", [self.add("MatMul", [along, self.constant(spread)]), self.constant([2, 2], np.int64)]
        )
        level = self.add(
            "MatMul", [self.add("Gather", [points, self.constant(o["subset_idxs"], np.int64)], axis=0), turn]
        )
        high, low = (self.add(kind, [level], axes=[0], keepdims=1) for kind in ("ReduceMax", "ReduceMin"))
        middle = self.add("Mul", [self.add("Add", [high, low]), self.constant([0.5])])
        centre = self.add("MatMul", [middle, self.add("Transpose", [turn], perm=[1, 0])])
        scale = np.array([o["scale_x"] / o["output_width"], o["scale_y"] / o["output_height"]])
        turn = self.add("Mul", [turn, self.add("Mul", [self.add("Sub", [high, low]), self.constant(scale)])])
        half = self.constant([[o["output_width"] / 2], [o["output_height"] / 2]])
        corner = self.add("Reshape", [self.add("MatMul", [turn, half]), self.constant([1, 2], np.int64)])
        self.affine[operator.outputs[0]] = (turn, self.add("Sub", [centre, corner]))

    def _through(self, points: str, matrix: int) -> str:
        """points (n, 2), through the matrix."""
        turn, shift = self.affine[matrix]
        return self.add("Add", [self.add("MatMul", [points, self.add("Transpose", [turn], perm=[1, 0])]), shift])

    def _transformtensorbilinear(self, operator: Operator) -> None:
        """The crop of a feature map, bilinear; what lies outside the map is zero. Four times faster than GridSample."""
        image, matrix = operator.inputs
        (height, width, channels), (h, w) = self.shape(image)[1:], self.shape(operator.outputs[0])[1:3]
        if image not in self.rows:
            self.rows[image] = self.add(
                "Reshape", [self.as_it_was(image), self.constant([height * width, channels], np.int64)]
            )
        pixels = np.stack(np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5), axis=-1).reshape(-1, 2)
        last = self.constant([width - 1.0, height - 1.0])
        where = self.add("Sub", [self._through(self.constant(pixels), matrix), self.constant([0.5])])  # (h w, 2)
        held = self.add("Max", [self.add("Min", [where, last]), self.constant([0.0])])
        inside = self.add("Cast", [self.add("Equal", [where, held])], to=TensorProto.FLOAT)
        inside = self.add("ReduceMin", [inside], axes=[1], keepdims=1)
        first = self.add("Min", [self.add("Floor", [held]), self.constant([width - 2.0, height - 2.0])])
        along = self.add("Sub", [held, first])
        # The weights of the four corners are products of (1 - x, x) and (1 - y, y).
        x = self.add(
            "Add",
            [self.add("MatMul", [along, self.constant([[-1, 1, -1, 1], [0, 0, 0, 0]])]), self.constant([1, 0, 1, 0])],
        )
        y = self.add(
            "Add",
            [self.add("MatMul", [along, self.constant([[0, 0, 0, 0], [-1, -1, 1, 1]])]), self.constant([1, 1, 0, 0])],
        )
        weights = self.add("Mul", [self.add("Mul", [x, y]), inside])
        corner = self.add("MatMul", [first, self.constant([[1.0], [width]])])
        corners = self.add(
            "Cast", [self.add("Add", [corner, self.constant([0, 1, width, width + 1])])], to=TensorProto.INT64
        )
        found = self.add("Gather", [self.rows[image], corners], axis=0)  # (h w, 4, channels)
        weights = self.add("Reshape", [weights, self.constant([h * w, 4, 1], np.int64)])
        crop = self.add("ReduceSum", [self.add("Mul", [found, weights]), self.constant([1], np.int64)], keepdims=0)
        crop = self.add("Reshape", [crop, self.constant([1, h, w, channels], np.int64)])
        self.value[operator.outputs[0]] = self.add("Transpose", [crop], perm=[0, 3, 1, 2])

    def _transformlandmarks(self, operator: Operator) -> None:
        points = self.add("Reshape", [self.of(operator.inputs[0]), self.constant([-1, 2], np.int64)])
        moved = self._through(points, operator.inputs[1])
        self.value[operator.outputs[0]] = self.add(
            "Reshape", [moved, self.constant(self.shape(operator.outputs[0]), np.int64)]
        )
