"""A trained model as an ONNX graph, node for node as chapters 4 and 5 compute it: a phrase of any length in, cosines out.

The nodes are written by hand: the graph is small, it is read as easily as the chapters, and no tracer has to guess.
One phrase at a time, so nothing is padded (but under the recipe of the notes, which pads to `max_seq` and looks at it).
"""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from tofy.encoder import LatentModel
from tofy.errors import UsageError
from tofy.layers import turns
from tofy.vocab import MASK

OPSET, IR = 20, 9   # the first with Gelu; the oldest file format that goes with it


class Graph:
    "Nodes in the making. A value is known by its name; an operation returns the name of what it computes."
    def __init__(self, half: bool):
        self.half, self.nodes, self.weights = half, [], []

    def op(self, kind: str, *inputs: str, name: str | None = None, outputs: int = 1, **attributes) -> str | list[str]:
        "Add a node; the name of its result, or the names of its several."
        names = [name or f"{kind}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def whole(self, *numbers: int) -> str:
        "A constant int64 `(n,)`."
        return self._keep(np.array(numbers, dtype=np.int64))

    def real(self, values: Tensor | float, weight: bool = False) -> str:
        "A constant float; a weight is stored in half precision, where that was asked for, and widened when it is used."
        array = torch.as_tensor(values).detach().float().numpy()
        if not (weight and self.half):
            return self._keep(array)
        return self.op("Cast", self._keep(array.astype(np.float16)), to=TensorProto.FLOAT)

    def _keep(self, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(array, f"c{len(self.weights)}"))
        return self.weights[-1].name

    def linear(self, x: str, layer: torch.nn.Linear) -> str:
        "`(…,I)` → `(…,O)`: x Wᵀ + b."
        return self.op("Add", self.op("MatMul", x, self.real(layer.weight.T, True)), self.real(layer.bias, True))

    def norm(self, x: str, layer: torch.nn.LayerNorm) -> str:
        "Layer normalisation over the last axis."
        scale, shift = self.real(layer.weight, True), self.real(layer.bias, True)
        return self.op("LayerNormalization", x, scale, shift, epsilon=layer.eps)

    def part(self, x: str, start: str, end: str) -> str:
        "Rows from `start` up to `end` of the first axis."
        return self.op("Slice", x, start, end, self.whole(0))

    def unit(self, x: str) -> str:
        "`(…,D)` with every vector brought to length 1."
        return self.op("LpNormalization", x, axis=-1, p=2)


def turning(g: Graph, length: str, max_seq: int, width: int, base: float) -> tuple[str, str, str]:
    "What turns pairs of numbers by their places: cosines and sines `(T,d)`, and the swap (a, b) → (−b, a), `(d,d)`."
    turn = turns(max_seq, width, base=base)                                                           # complex (max_seq,d/2)
    cos, sin = (g.part(g.real(part.repeat_interleave(2, -1)), g.whole(0), length) for part in (turn.real, turn.imag))
    return cos, sin, g.real(torch.block_diag(*[torch.tensor([[0., 1.], [-1., 0.]])] * (width // 2)))


def turned(g: Graph, x: str, turn: tuple[str, str, str]) -> str:
    "`(H,T,d)` with each pair turned: (a cos − b sin, b cos + a sin)."
    cos, sin, swap = turn
    return g.op("Add", g.op("Mul", x, cos), g.op("Mul", g.op("MatMul", x, swap), sin))


def attention(g: Graph, x: str, layer: torch.nn.Module, turn: tuple[str, str, str] | None) -> str:
    "`(T,D)` → `(T,D)`: every place looks at every place."
    heads, width = layer.heads, layer.qkv.in_features // layer.heads
    cut = g.op("Reshape", g.linear(x, layer.qkv), g.whole(-1, 3, heads, width))            # (T,3,H,d)
    parts = g.op("Split", g.op("Transpose", cut, perm=[1, 2, 0, 3]), outputs=3, axis=0, num_outputs=3)   # (1,H,T,d)
    q, k, v = (g.op("Squeeze", part, g.whole(0)) for part in parts)                        # (H,T,d)
    if turn:
        q, k = turned(g, q, turn), turned(g, k, turn)
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 2, 1]))                       # (H,T,T)
    looks = g.op("Softmax", g.op("Mul", scores, g.real(width**-.5)), axis=-1)
    mixed = g.op("Transpose", g.op("MatMul", looks, v), perm=[1, 0, 2])                    # (T,H,d)
    return g.linear(g.op("Reshape", mixed, g.whole(-1, heads * width)), layer.out)


def block(g: Graph, x: str, layer: torch.nn.Module, turn: tuple[str, str, str] | None) -> str:
    "`(T,D)` → `(T,D)`: x + attention(norm x), then x + feed-forward(norm x)."
    x = g.op("Add", x, attention(g, g.norm(x, layer.norm1), layer.attention, turn))
    up = g.linear(g.norm(x, layer.norm2), layer.up)                                        # (T,W), gated: (T,2W)
    if layer.gated:
        gate, value = g.op("Split", up, outputs=2, axis=-1, num_outputs=2)
        return g.op("Add", x, g.linear(g.op("Mul", g.op("Gelu", gate), value), layer.down))
    return g.op("Add", x, g.linear(g.op("Gelu", up), layer.down))


def predictor(g: Graph, x: str, layer: torch.nn.Module) -> str:
    "identity, linear, or linear – ReLU – linear."
    for step in layer if isinstance(layer, torch.nn.Sequential) else [layer]:
        if isinstance(step, torch.nn.Linear):
            x = g.linear(x, step)
        elif isinstance(step, torch.nn.ReLU):
            x = g.op("Relu", x)
    return x


def onnx_graph(model: LatentModel, half: bool = True) -> onnx.ModelProto:
    """ids int64 `(T,)` with one `<mask>` → cosines `(V,)`, pred `(D,)`; and rows `(V,D)`, the table brought to length 1.

    With `half` the weights are kept in half precision; the arithmetic is in single precision either way.
    """
    config, encoder, g = model.config, model.encoder, Graph(half)
    if model.readout is not None:
        raise UsageError("A model with targets in context cannot be exported yet: its words come from a readout, not from "
                         "cosines with rows; train with target table, stopgrad or ema.")
    if config.predictor == "queries":
        raise UsageError("A model with the predictor 'queries' cannot be exported yet: its encoder reads a phrase without "
                         "the blank; train with predictor linear, mlp or identity.")
    if config.ngrams:
        raise UsageError("A model with n-grams cannot be exported yet: its rows are made from spellings; train with ngrams 0.")
    ids = "ids"
    if config.attend_padding:
        padded = g.op("Concat", ids, g.whole(*[0] * config.max_seq), axis=0)
        ids = g.part(padded, g.whole(0), g.whole(config.max_seq))                          # (max_seq,)
    table, length = g.real(model.table, True), g.op("Shape", ids)
    x = g.op("Mul", g.op("Gather", table, ids), g.real(config.dim**.5))                    # (T,D)
    if encoder.place_scale:
        places = g.part(g.real(encoder.positions.table, True), g.whole(0), length)
        x = g.op("Add", x, g.op("Mul", places, g.real(encoder.place_scale)))
    rotary = config.positions == "rotary" and config.layers
    turn = turning(g, length, config.max_seq, config.dim // config.heads, config.rotary_base) if rotary else None
    for layer in encoder.blocks:
        x = block(g, x, layer, turn)
    blank = g.op("ArgMax", g.op("Cast", g.op("Equal", ids, g.whole(MASK)), to=TensorProto.INT32), axis=0, keepdims=0)
    pred = predictor(g, g.norm(g.op("Gather", x, blank), encoder.norm), model.predictor)   # (D,)
    rows = g.unit(table)
    g.op("MatMul", rows, g.unit(pred), name="cosines")
    g.op("Identity", pred, name="pred")
    g.op("Identity", rows, name="rows")
    V, D = model.table.shape
    shapes = dict(cosines=[V], pred=[D], rows=[V, D])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    given = helper.make_tensor_value_info("ids", TensorProto.INT64, ["T"])
    graph = helper.make_graph(g.nodes, "tofy", [given], outputs, g.weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="tofy")
    onnx.checker.check_model(made, full_check=True)
    return made


def to_onnx(model: LatentModel, path: str | Path, half: bool = True) -> Path:
    "Write the graph to a file."
    Path(path).write_bytes(onnx_graph(model, half).SerializeToString())
    return Path(path)


def run_onnx(content: bytes, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
    "The cosines `(V,)` for each phrase of ids, by onnxruntime on this machine."
    import onnxruntime
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return [session.run(["cosines"], {"ids": np.array(ids, dtype=np.int64)})[0] for ids in rows]
