"""A cross-encoder of some kilobytes, of BERT's or of RoBERTa's build; its weights are of chance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

PAIRS = (
    ("when does the library open", "the library opens at nine in the morning"),
    ("when does the library open", "a loan can be renewed twice"),
    ("how long may I keep a book", "three weeks"),
    ("", "three weeks " * 40),
)
SCORES = {
    "bert": (-0.54928, -0.64791, -1.1168, -0.48618),
    "xlm-roberta": (1.17502, 0.86883, 0.97672, 1.19356),
}
"""Of `PAIRS`, as transformers computes them; tests/torch holds these numbers to it."""
_WORDS = (
    "when does the library open opens at nine in morning a loan can be renewed twice how long may i keep "
    "book three weeks"
)
_WIDTH, _LAYERS, _INNER, _LONGEST = 32, 2, 48, 40


def build(folder: Path, kind: str = "bert") -> Path:
    """Write it to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    special = ["[PAD]", "[PAD2]", "[CLS]", "[SEP]", "[UNK]"]
    words = [*special, *_WORDS.split()]
    config = {
        "model_type": kind, "vocab_size": len(words), "hidden_size": _WIDTH, "num_hidden_layers": _LAYERS,
        "num_attention_heads": 4, "intermediate_size": _INNER, "max_position_embeddings": _LONGEST,
        "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0 if kind == "bert" else 1,
        "type_vocab_size": 2 if kind == "bert" else 1, "num_labels": 1, "id2label": {"0": "LABEL_0"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    _tokenizer(words, segments=kind == "bert").save(str(folder / "tokenizer.json"))
    _save(folder / "model.safetensors", _weights(kind, len(words)))
    return folder


def _tokenizer(words: list[str], *, segments: bool) -> Tokenizer:
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
    made.normalizer, made.pre_tokenizer = Lowercase(), Whitespace()
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1" if segments else "[CLS] $A [SEP] [SEP] $B [SEP]"
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def _weights(kind: str, words: int) -> dict[str, np.ndarray]:
    body = "bert" if kind == "bert" else "roberta"
    shapes: dict[str, tuple[int, ...]] = {
        f"{body}.embeddings.word_embeddings.weight": (words, _WIDTH),
        f"{body}.embeddings.position_embeddings.weight": (_LONGEST, _WIDTH),
        f"{body}.embeddings.token_type_embeddings.weight": (2 if kind == "bert" else 1, _WIDTH),
        f"{body}.embeddings.LayerNorm.weight": (_WIDTH,),
        f"{body}.embeddings.LayerNorm.bias": (_WIDTH,),
    }
    for layer in range(_LAYERS):
        parts = {
            **{f"attention.self.{one}": (_WIDTH, _WIDTH) for one in ("query", "key", "value")},
            "attention.output.dense": (_WIDTH, _WIDTH),
            "intermediate.dense": (_INNER, _WIDTH),
            "output.dense": (_WIDTH, _INNER),
        }
        for name, shape in parts.items():
            shapes[f"{body}.encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"{body}.encoder.layer.{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{body}.encoder.layer.{layer}.{name}.weight"] = (_WIDTH,)
            shapes[f"{body}.encoder.layer.{layer}.{name}.bias"] = (_WIDTH,)
    inner = f"{body}.pooler.dense" if kind == "bert" else "classifier.dense"
    outer = "classifier" if kind == "bert" else "classifier.out_proj"
    shapes |= {f"{inner}.weight": (_WIDTH, _WIDTH), f"{inner}.bias": (_WIDTH,)}
    shapes |= {f"{outer}.weight": (1, _WIDTH), f"{outer}.bias": (1,)}
    chance = np.random.default_rng(7)
    return {name: chance.normal(0.1, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def _save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header, at = {}, 0
    for name, one in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(one.shape), "data_offsets": [at, at + one.nbytes]}
        at += one.nbytes
    told = json.dumps(header).encode()
    path.write_bytes(
        len(told).to_bytes(8, "little") + told + b"".join(one.tobytes() for one in tensors.values())
    )
