"""Makes an ONNX file of a model: `python -m backend.embedding.onnx_export '<json>'`.

A program of its own, so that torch and its memory (700 MB) never enter the process that serves.
The argument holds `folder`, `target`, `pooling` and `precision`. The file takes token ids and the
attention mask, int64[n, tokens], and gives unit rows, float32[n, dimensions].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel, PreTrainedModel


class Sentence(torch.nn.Module):
    """A transformer, its pooling and its normalisation."""

    def __init__(self, body: PreTrainedModel, *, mean: bool) -> None:
        super().__init__()
        self.body = body
        self.mean = mean

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Unit rows."""
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.mean:
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        else:
            pooled = states[:, 0]
        return torch.nn.functional.normalize(pooled, dim=-1)


def export(model: Sentence, target: Path) -> None:
    """Write the float32 graph of `model` to `target`."""
    # Two tensors: the exporter takes one object passed twice for one input.
    ids, mask = torch.ones((2, 16), dtype=torch.int64), torch.ones((2, 16), dtype=torch.int64)
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)}
    torch.onnx.export(
        model,
        (ids, mask),
        str(target),
        input_names=["input_ids", "attention_mask"],
        output_names=["sentence"],
        dynamic_shapes=(shape, shape),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def check(model: Sentence, target: Path) -> None:
    """Compare the graph with the model on rows of unequal length.

    Raises:
        ValueError: They differ; a wrong graph would answer as quickly as a right one.
    """
    words = model.body.config.vocab_size - 5  # the first few are special
    ids = (torch.arange(3 * 24, dtype=torch.int64) % words + 5).reshape(3, 24)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    mask[2, 1:] = 0
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    got = session.run(["sentence"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
    with torch.no_grad():
        wanted = model(ids, mask).numpy()
    if not np.allclose(got, wanted, atol=1e-3):
        raise ValueError("the exported graph does not compute what the model does")


def main() -> None:
    """Export, check, and quantise when asked to."""
    order = json.loads(sys.argv[1])
    target = Path(order["target"])
    body = AutoModel.from_pretrained(order["folder"], local_files_only=True)
    model = Sentence(body, mean=order["pooling"] == "mean").eval()
    export(model, target)
    check(model, target)
    if order["precision"] == "int8":
        whole = target.rename(target.with_suffix(".fp32"))
        quantize_dynamic(whole, target, weight_type=QuantType.QInt8, per_channel=True)
        whole.unlink()


if __name__ == "__main__":
    main()
