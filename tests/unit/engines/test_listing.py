import pytest

from backend.core.errors import EngineError
from backend.engines.base import LoadedModel, ModelInfo
from backend.engines.listing import context_of_props, loaded_of_openai, of_openai, of_tags

TAG = {
    "name": "qwen3:8b", "size": 5_200_000_000, "digest": "d1",
    "details": {"parameter_size": "8.2B", "quantization_level": "Q4_K_M", "context_length": 40_960},
    "capabilities": ["completion", "thinking"],
}  # fmt: skip


def test_all_that_a_server_says_of_a_model_is_kept():
    assert of_tags({"models": [TAG]}) == (
        ModelInfo("qwen3:8b", True, "8.2B", "Q4_K_M", 5_200_000_000, 40_960, "d1"),
    )


def test_an_older_server_says_less_and_its_models_are_offered_all_the_same():
    assert of_tags({"models": [{"name": "m"}]}) == (ModelInfo("m"),)


@pytest.mark.parametrize("can", [[], ["embedding"]])
def test_what_cannot_chat_is_left_out(can):
    assert of_tags({"models": [TAG | {"capabilities": can}]}) == ()


def test_what_llamacpp_and_vllm_say_is_understood():
    llama = {
        "id": "a.gguf",
        "meta": {"n_params": 8_030_261_312, "size": 4_912_898_304, "n_ctx_train": 131_072},
    }
    tiny = {"id": "tiny", "meta": {"n_params": 5_300_000}}
    vllm = {"id": "org/model", "max_model_len": 32_768}
    assert of_openai({"data": [llama, tiny, vllm, {"id": "mlx"}]}) == (
        ModelInfo("a.gguf", parameters="8.0B", size_bytes=4_912_898_304, context_tokens=131_072),
        ModelInfo("tiny", parameters="5M"),
        ModelInfo("org/model", context_tokens=32_768),
        ModelInfo("mlx"),
    )


@pytest.mark.parametrize(
    ("model", "context"),
    [
        ({"meta": {"n_ctx": 512, "n_ctx_train": 32_768}}, 512),
        ({"meta": {"n_ctx_train": 32_768}}, None),
        ({"max_model_len": 4096, "meta": None}, 4096),
        ({"max_model_len": 0, "meta": {"n_ctx": 2048}}, 2048),
        ({"max_model_len": -1}, None),
        ({"max_model_len": "8192"}, 8192),
        ({"max_model_len": "long"}, None),
        ({"max_model_len": 10**15}, None),
        ({"context_window": 131_072}, 131_072),
        ({}, None),
    ],
)
def test_the_context_that_a_request_has_is_told_apart_from_what_the_model_was_made_for(model, context):
    (loaded,) = loaded_of_openai({"data": [{"id": "m", **model}]})
    assert loaded == LoadedModel("m", context_tokens=context)


@pytest.mark.parametrize(
    ("body", "context"),
    [
        ({"default_generation_settings": {"n_ctx": 2048}, "total_slots": 4}, 2048),
        ({"default_generation_settings": {"n_ctx": 0}}, None),
        ({"default_generation_settings": 3}, None),
        ([], None),
    ],
)
def test_props_tell_the_context_of_one_slot(body, context):
    assert context_of_props(body) == context


@pytest.mark.parametrize("told", [0, -4096, "none", 10**18, None, True])
def test_a_training_context_that_makes_no_sense_is_not_told(told):
    (model,) = of_tags({"models": [TAG | {"details": {"context_length": told}}]})
    assert model.context_tokens is None


@pytest.mark.parametrize("body", [None, [], {}, {"models": 3, "data": 3}, {"models": [3], "data": ["m"]}])
@pytest.mark.parametrize("read", [of_tags, of_openai, loaded_of_openai])
def test_what_is_no_list_of_models_is_an_error(read, body):
    with pytest.raises(EngineError):
        read(body)


@pytest.mark.parametrize(
    ("size", "vram", "share"),
    [(8, 8, 1.0), (8, 2, 0.25), (8, 0, 0.0), (8, 9, 1.0), (0, 0, None), (8, None, None)],
)
def test_the_share_on_the_gpu(size, vram, share):
    assert LoadedModel("m", size_bytes=size, vram_bytes=vram).gpu_share == share
