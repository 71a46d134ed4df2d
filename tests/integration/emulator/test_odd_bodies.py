"""Whatever is sent, the answer is one of the server's own: never a failure of the emulator itself."""

import json
import random

import pytest

from tests.support.emulator import emulator
from tests.support.raw_http import answer

ODD = [None, True, 0, -1, 1.5, 10**30, "", "x", "json", "a b", "\ud800", [], [1], ["x"], [None], [[]], {}]
ODD += [{"a": 1}, {"role": "user", "content": "x"}, [{"role": "user", "content": "x"}], [{"role": 3}], [{}]]
ODD += [{"num_ctx": -5}, {"num_ctx": None, "num_predict": -3}, {"num_keep": 10**6, "num_ctx": 8}]
ODD += [{"stop": ["x", ""]}, {"num_keep": -1, "num_ctx": 4}, {"seed": 1e300}, {"include_usage": True}]
ODD += [[{"function": {"name": "f"}}], [{"type": "function", "function": None}], {"effort": "high"}]
FIELDS = {
    "/api/chat": "model messages stream format keep_alive options tools think truncate shift",
    "/api/generate": "model prompt stream format keep_alive options think raw context suffix images system",
    "/api/embed": "model input truncate dimensions keep_alive options",
    "/api/embeddings": "model prompt keep_alive options",
    "/api/show": "model name verbose",
    "/api/pull": "model name stream insecure",
    "/api/create": "model name from files adapters template parameters quantize stream messages",
    "/api/copy": "source destination",
    "/v1/chat/completions": "model messages stream stream_options max_tokens seed stop temperature top_p "
    "tools response_format reasoning reasoning_effort",
    "/v1/completions": "model prompt stream max_tokens stop suffix",
    "/v1/embeddings": "model input encoding_format dimensions",
}
GOOD = {
    "messages": [{"role": "user", "content": "hello " * 30}],
    "prompt": "hello",
    "input": "hello",
    "source": "llama3.1:8b",
    "destination": "copy",
    "from": "llama3.1:8b",
    "stream": False,
    "options": {"num_ctx": 16, "num_predict": 3},
}


def body(dice: random.Random, names: list[str]) -> dict:
    """What is right, with one to three of its fields put wrong."""
    made = {name: value for name, value in GOOD.items() if name in names}
    made["model"] = dice.choice(["llama3.1:8b", "qwen3:8b", "nomic-embed-text", "nobody"])
    for name in dice.sample(names, dice.randint(1, min(3, len(names)))):
        made[name] = dice.choice(ODD)
    return made


@pytest.mark.parametrize("path", FIELDS)
async def test_odd_bodies_are_answered(path):
    dice = random.Random(path)
    async with emulator(time_scale=0, num_parallel=2, reply="Nine.") as server:
        for _ in range(150):
            sent = body(dice, FIELDS[path].split())
            status, headers, data = await answer(server.url, path, sent)
            assert status in (200, 400, 404, 500, 501), sent
            assert b"emulator error" not in data, sent
            if status != 200:
                assert headers["content-type"].startswith("application/json"), sent
                assert json.loads(data)["error"], sent
        state = await server.state()
    assert (state["leaks"], state["pending"]) == (0, 0)
    assert not any(runner["refs"] for runner in state["loaded"])
