"""The ONNX graph of a sentence embedder, made from its weights, without torch.

Knows the encoders of the BERT family (BERT, RoBERTa, XLM-RoBERTa, CamemBERT) with absolute positions, which
nearly all embedders are. The graph takes token ids and the attention mask, int64[n, tokens], and gives unit
rows, float32[n, dimensions].

With 8-bit weights a matrix has a scale for each of its columns, an embedding table one for each of its rows
(a table that comes in blocks of 4 bits stays as it is). Activations are rounded as they come (dynamic
quantisation), those of each token by their own range: a few tokens have numbers ten times as large as those
of the others, and a step that serves all is too long for these (cosine to 32 bits 0.996, and so 0.999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from backend.embedding.base import Tensors
from backend.embedding.models import Output, Precision

FAMILY: Final = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
_OPSET, _IR = 20, 9
_MORE: Final = "com.microsoft"
"""Operators of ONNX Runtime's own."""
_ACTIVATIONS: Final = {
    "gelu": ("Gelu", {}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
}
_MASKED = -1e9
_TINY = 1e-12
_LEVELS = 63.0
"""Of weights, to either side of 0. With 127, processors without VNNI add up two products in 16 bits, which
overflow: graphs of chance had a cosine of 0.98 to their own in 32 bits, and have 1.00."""
_AT_ONCE = 4096


class UnknownArchitecture(ValueError):
    """The model is none that can be built here; the message is its type."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's `config.json` says of its build.

    Attributes:
        padding: Id of the padding token, after which RoBERTa counts positions; None: from 0, as in BERT.
    """

    layers: int
    heads: int
    width: int
    epsilon: float
    activation: str
    padding: int | None

    @classmethod
    def of(cls, config: dict[str, Any]) -> Shape:
        """Read from `config.json`.

        Raises:
            UnknownArchitecture: Another family, or parts that are not known here.
            KeyError: A number is missing.
        """
        kind = config.get("model_type")
        odd = config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder")
        if kind not in FAMILY or odd or config.get("hidden_act", "gelu") not in _ACTIVATIONS:
            raise UnknownArchitecture(str(kind))
        return cls(
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            width=int(config["hidden_size"]),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=config.get("hidden_act", "gelu"),
            padding=None if kind == "bert" else int(config.get("pad_token_id", 1)),
        )


def build(config: dict[str, Any], weights: Tensors, *, pooling: Output, precision: Precision) -> ModelProto:
    """The whole graph; one that scores pairs takes `token_type_ids` besides, and gives `score`, float32[n].

    Raises:
        UnknownArchitecture: `config` describes a model that this module cannot build.
        KeyError: A tensor of that architecture is missing.
    """
    graph = _Graph(Shape.of(config), weights, precision == "int8")
    states = graph.embedded("input_ids", "token_type_ids" if pooling == "score" else None)
    allowed = graph.allowed("attention_mask")
    for layer in range(graph.shape.layers):
        states = graph.layer(f"encoder.layer.{layer}", states, allowed)
    if pooling == "score":
        graph.score(graph.first(states), config["model_type"])
        return graph.model(("input_ids", "attention_mask", "token_type_ids"), "score", ["batch"])
    graph.unit(graph.mean(states, "attention_mask") if pooling == "mean" else graph.first(states))
    return graph.model(("input_ids", "attention_mask"), "sentence", ["batch", graph.shape.width])


@dataclass(slots=True)
class _Graph:
    """Nodes and weights so far; each method adds some and gives the name of what they compute."""

    shape: Shape
    weights: Tensors
    small: bool
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def embedded(self, ids: str, segments: str | None) -> str:
        """Words, positions and segments (None: the first), added and normalised."""
        words = self._looked_up("embeddings.word_embeddings.weight", ids)
        places = self._looked_up("embeddings.position_embeddings.weight", self._positions(ids))
        kinds = "embeddings.token_type_embeddings.weight"
        segment = (
            self._looked_up(kinds, segments) if segments else self._constant("s", self.weights[kinds][0])
        )
        together = self._node("Add", self._node("Add", words, segment), places)
        return self._normalised("embeddings.LayerNorm", together)

    def allowed(self, mask: str) -> str:
        """What is added to attention: 0 for a token, almost minus infinity for padding; [n, 1, 1, tokens]."""
        wide = self._node(
            "Unsqueeze", self._node("Cast", mask, to=TensorProto.FLOAT), self._ints("axes_12", 1, 2)
        )
        masked = self._node("Sub", self._float("one", 1.0), wide)
        return self._node("Mul", masked, self._float("masked", _MASKED))

    def layer(self, name: str, states: str, allowed: str) -> str:
        """One layer: attention, then the two feed-forward matrices, each added to what it was given."""
        attended = self._attention(f"{name}.attention.self", states, allowed)
        said = self._linear([f"{name}.attention.output.dense"], attended)
        states = self._normalised(f"{name}.attention.output.LayerNorm", self._node("Add", said, states))
        operator, how = _ACTIVATIONS[self.shape.activation]
        inner = self._node(operator, self._linear([f"{name}.intermediate.dense"], states), **how)
        out = self._linear([f"{name}.output.dense"], inner)
        return self._normalised(f"{name}.output.LayerNorm", self._node("Add", out, states))

    def mean(self, states: str, mask: str) -> str:
        """Mean over the tokens that are no padding, [n, width]."""
        wide = self._node(
            "Unsqueeze", self._node("Cast", mask, to=TensorProto.FLOAT), self._ints("axis_2", 2)
        )
        axis = self._ints("axis_1", 1)
        total = self._node("ReduceSum", self._node("Mul", states, wide), axis, keepdims=0)
        count = self._node("ReduceSum", wide, axis, keepdims=0)
        return self._node("Div", total, self._node("Max", count, self._float("least", 1e-9)))

    def first(self, states: str) -> str:
        """The first token's state, [n, width]."""
        return self._node("Gather", states, self._ints("zero", 0, scalar=True), axis=1)

    def unit(self, rows: str) -> None:
        """Rows of length 1, as the graph's output."""
        length = self._node("ReduceL2", rows, self._ints("axis_1", 1), keepdims=1)
        self._node("Div", rows, self._node("Max", length, self._float("tiny", 1e-12)), result="sentence")

    def score(self, first: str, kind: str) -> None:
        """One number for each pair, as the graph's output; these two small matrices stay in 32 bits.

        Raises:
            KeyError: The model has no such head.
        """
        self.small = False
        inner, outer = (
            ("pooler.dense", "classifier") if kind == "bert" else ("classifier.dense", "classifier.out_proj")
        )
        if len(self.weights[f"{outer}.bias"]) != 1:
            raise KeyError("a score")
        told = self._linear([outer], self._node("Tanh", self._linear([inner], first)))
        self._node("Squeeze", told, self._ints("axis_1", 1), result="score")

    def model(self, inputs: Sequence[str], output: str, shape: Sequence[str | int]) -> ModelProto:
        """All of it, as ONNX Runtime reads it."""
        tokens = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in inputs
        ]
        rows = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, output, tokens, [rows], list(self.constants.values()))
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MORE, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="libriassist")

    def _positions(self, ids: str) -> str:
        """Index of each token's position: [1, tokens] counted from 0, or as RoBERTa counts, [n, tokens]."""
        if self.shape.padding is None:
            length = self._node("Gather", self._node("Shape", ids), self._ints("one_th", 1, scalar=True))
            start, step = self._ints("zero", 0, scalar=True), self._ints("step", 1, scalar=True)
            return self._node("Unsqueeze", self._node("Range", start, length, step), self._ints("axis_0", 0))
        padding = self._ints("padding", self.shape.padding, scalar=True)
        real = self._node("Cast", self._node("Not", self._node("Equal", ids, padding)), to=TensorProto.INT64)
        counted = self._node("CumSum", real, self._ints("step", 1, scalar=True))
        return self._node("Add", self._node("Mul", counted, real), padding)

    def _attention(self, name: str, states: str, allowed: str) -> str:
        """Questions, keys and values by one matrix; the scale is in the questions' part of it."""
        heads, width = self.shape.heads, self.shape.width
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        joined = self._linear(parts, states, scaled=(width // heads) ** -0.5)
        split = self._node("Reshape", joined, self._ints("split", 0, 0, 3, heads, width // heads))
        turned = self._node("Transpose", split, perm=[2, 0, 3, 1, 4])
        query, key, value = (
            self._node("Gather", turned, self._ints(f"part_{part}", part, scalar=True), axis=0)
            for part in range(3)
        )
        nearness = self._node("MatMul", query, self._node("Transpose", key, perm=[0, 1, 3, 2]))
        shares = self._node("Softmax", self._node("Add", nearness, allowed), axis=-1)
        mixed = self._node("Transpose", self._node("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self._node("Reshape", mixed, self._ints("joined", 0, 0, width))

    def _linear(self, names: Sequence[str], given: str, *, scaled: float = 1.0) -> str:
        """`given` times the matrices of `names` side by side, plus their biases; the first one scaled."""
        scales = [scaled] + [1.0] * (len(names) - 1)
        matrix = np.concatenate(
            [self.weights[f"{name}.weight"].T * s for name, s in zip(names, scales, strict=True)], 1
        )
        bias = np.concatenate(
            [self.weights[f"{name}.bias"] * s for name, s in zip(names, scales, strict=True)]
        )
        product = self._multiplied(names[0], given, np.ascontiguousarray(matrix, np.float32))
        return self._node("Add", product, self._constant(f"{names[0]}.bias", bias))

    def _multiplied(self, name: str, given: str, matrix: NDArray[np.float32]) -> str:
        if not self.small:
            return self._node("MatMul", given, self._constant(f"{name}.weight", matrix))
        rounded, scale = _rounded(matrix, axis=0)
        highest = self._node("ReduceMax", self._node("Abs", given), self._ints("last", -1), keepdims=1)
        largest = self._node("Max", highest, self._float("not_zero", _TINY))
        codes, step, zero = self._nodes("DynamicQuantizeLinear", self._node("Div", given, largest), results=3)
        whole = self._node(
            "MatMulInteger",
            codes,
            self._constant(f"{name}.weight", rounded),
            zero,
            self._constant("no_shift", np.int8(0)),
        )
        steps = self._node("Mul", step, self._constant(f"{name}.scale", scale))
        product = self._node("Mul", self._node("Cast", whole, to=TensorProto.FLOAT), steps)
        return self._node("Mul", product, largest)

    def _looked_up(self, name: str, indices: str) -> str:
        blocks = self.weights.blocks(name) if self.small else None
        if blocks is not None:
            codes, steps = self._constant(name, blocks.codes), self._constant(f"{name}.scale", blocks.steps)
            how: dict[str, Any] = {"bits": 4, "block_size": blocks.size, "gather_axis": 0, "quantize_axis": 1}
            return self._node("GatherBlockQuantized", codes, indices, steps, domain=_MORE, **how)
        table = self.weights[name]
        if not self.small:
            return self._node("Gather", self._constant(name, table), indices)
        rounded, scale = _rounded(table, axis=1)
        rows = self._node("Gather", self._constant(name, rounded), indices)
        steps = self._node("Gather", self._constant(f"{name}.scale", scale[:, None]), indices)
        return self._node("Mul", self._node("Cast", rows, to=TensorProto.FLOAT), steps)

    def _normalised(self, name: str, given: str) -> str:
        weight = self._constant(f"{name}.weight", self.weights[f"{name}.weight"])
        bias = self._constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self._node("LayerNormalization", given, weight, bias, axis=-1, epsilon=self.shape.epsilon)

    def _float(self, name: str, value: float) -> str:
        return self._constant(name, np.float32(value))

    def _ints(self, name: str, *values: int, scalar: bool = False) -> str:
        return self._constant(name, np.array(values[0] if scalar else values, np.int64))

    def _constant(self, name: str, value: Any) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _node(self, operator: str, *given: str, result: str = "", **how: Any) -> str:
        return self._nodes(operator, *given, result=result, **how)[0]

    def _nodes(self, operator: str, *given: str, results: int = 1, result: str = "", **how: Any) -> list[str]:
        number = len(self.nodes)
        named = [result or f"{operator}_{number}_{i}" for i in range(results)]
        self.nodes.append(helper.make_node(operator, given, named, name=f"{operator}_{number}", **how))
        return named


def _rounded(table: NDArray[np.float32], *, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """8-bit numbers and their steps, one for each column (`axis` 0) or row (1)."""
    scale = np.empty(table.shape[1 - axis], np.float32)
    rounded = np.empty(table.shape, np.int8)
    for start in range(0, len(scale), _AT_ONCE):  # a table of 250,000 words would be held four times over
        some = slice(start, start + _AT_ONCE)
        part = (slice(None), some) if axis == 0 else (some, slice(None))
        scale[some] = np.maximum(np.abs(table[part]).max(axis=axis), _TINY) / _LEVELS
        rounded[part] = np.rint(table[part] / np.expand_dims(scale[some], axis))
    return rounded, scale
