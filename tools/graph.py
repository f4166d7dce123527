"""A trained model as an ONNX graph (chapter 18a writes it), and the graph run on this machine."""
from collections.abc import Sequence

import numpy as np

from tofy.bridges import onnx_graph

__all__ = ["onnx_graph", "run_onnx"]


def run_onnx(content: bytes, rows: Sequence[Sequence[int]], result: str = "cosines") -> list[np.ndarray]:
    "A result of the graph, such as the cosines `(V,)`, for each phrase of ids, by onnxruntime on this machine."
    import onnxruntime
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return [session.run([result], {"ids": np.array(ids, dtype=np.int64)})[0] for ids in rows]
