import pytest

from backend.embedding.onnx_graph import Shape, UnknownArchitecture

BERT = {
    "model_type": "bert", "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32,
    "pad_token_id": 0,
}  # fmt: skip


def test_positions_are_counted_as_the_family_does():
    assert Shape.of(BERT).padding is None
    assert Shape.of(BERT | {"model_type": "xlm-roberta", "pad_token_id": 1}).padding == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model_type": "mpnet"},
        {"model_type": None},
        {"position_embedding_type": "relative_key"},
        {"hidden_act": "swiglu"},
        {"is_decoder": True},
    ],
)
def test_what_it_cannot_build_it_refuses(other):
    with pytest.raises(UnknownArchitecture):
        Shape.of(BERT | other)
