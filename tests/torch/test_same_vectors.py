"""What we build without torch computes what torch computes. Needs the extra `torch`: `make test-torch`."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    MPNetConfig,
    MPNetModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from backend.embedding.local_onnx import OnnxEncoder, prepared
from backend.embedding.local_torch import TorchEncoder
from backend.embedding.models import Model, find, find_ranker
from backend.embedding.tokens import Pairs
from tests.support import tiny_ranker
from tests.support.known_vectors import TEXTS, known_vectors

SIZES = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 40,
}  # fmt: skip
MODELS = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "bert, other activation": lambda: BertModel(BertConfig(**SIZES, hidden_act="gelu_new")),
    "roberta": lambda: XLMRobertaModel(XLMRobertaConfig(**SIZES, pad_token_id=1)),
    "not of the family": lambda: MPNetModel(MPNetConfig(**SIZES)),
}


def test_the_known_vectors_are_those_of_sentence_transformers():
    model = find("all-MiniLM-L6-v2", "fp32")
    assert TorchEncoder(model, model.source, threads=1).encode(TEXTS) == pytest.approx(
        known_vectors(), abs=1e-5
    )


def test_the_default_model_gives_the_same_vectors(models_dir):
    model = find("all-MiniLM-L6-v2", "fp32")
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS]
    ours = OnnxEncoder(model, model.source, models_dir, threads=1).encode(texts)
    assert ours == pytest.approx(TorchEncoder(model, model.source, threads=1).encode(texts), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("bert", "mean"),
        ("bert", "cls"),
        ("bert, other activation", "mean"),
        ("roberta", "mean"),
        ("not of the family", "cls"),
    ],
)
def test_other_models_too(kind, pooling, tmp_path):
    torch.manual_seed(7)
    model = MODELS[kind]().eval()
    for weight in model.parameters():  # as made, biases are 0 and norms 1: a mistake would not show
        torch.nn.init.normal_(weight, 0.1, 0.3)
    save_file(
        {name: part.contiguous() for name, part in model.state_dict().items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    ids = torch.randint(5, 99, (3, 17))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    ids[1, 9:] = 1
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    wide = mask.unsqueeze(-1)
    rows = (states * wide).sum(1) / wide.sum(1) if pooling == "mean" else states[:, 0]
    wanted = torch.nn.functional.normalize(rows, dim=-1).detach().numpy()
    described = Model("tiny", tmp_path, "", 32, 17, "", "", pooling, "fp32")
    session = onnxruntime.InferenceSession(prepared(described, tmp_path, tmp_path))
    got = session.run(["sentence"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
    assert np.abs(got - wanted).max() < 1e-5


@pytest.mark.parametrize("kind", tiny_ranker.SCORES)
def test_the_known_scores_of_pairs_are_those_of_transformers(kind, tmp_path):
    folder = tiny_ranker.build(tmp_path / "ranker", kind)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = Pairs(folder, find_ranker(folder, "fp32").max_tokens)
    for pair, known in zip(tiny_ranker.PAIRS, tiny_ranker.SCORES[kind], strict=True):
        ids, kinds = (torch.tensor(one) for one in pairs.ids(*pair))
        with torch.no_grad():
            score = model(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=kinds).logits
        assert score.item() == pytest.approx(known, abs=1e-4)
