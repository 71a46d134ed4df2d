"""Exports a model of any architecture to ONNX with torch, for those that `onnx_graph` cannot build.

Needs the extra `torch`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def export(order: dict[str, Any]) -> None:
    """Write, check, and quantise when asked to; `order` as in `onnx_file`.

    Raises:
        ValueError: The graph does not compute what the model does.
    """
    target = Path(order["target"])
    body = AutoModel.from_pretrained(order["source"], local_files_only=True)
    model = Sentence(body, mean=order["pooling"] == "mean").eval()
    _write(model, target)
    _check(model, target)
    if order["precision"] == "int8":
        whole = target.rename(target.with_suffix(".fp32"))
        quantize_dynamic(whole, target, weight_type=QuantType.QInt8, per_channel=True)
        whole.unlink()


def _write(model: Sentence, target: Path) -> None:
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


def _check(model: Sentence, target: Path) -> None:
    """Compare on rows of unequal length: a wrong graph would answer as quickly as a right one."""
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
