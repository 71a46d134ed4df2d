"""A server that calls its models otherwise than the pool does."""

from backend.engines.base import End, Endpoint, Text
from backend.engines.renamed import RenamedEngine
from backend.engines.scripted import ScriptedEngine
from tests.support.asks import a_request

NAMES = {"small": "/models/llama-8b.gguf", "chat": "/models/llama-8b.gguf", "large": "qwen"}
HERE = Endpoint("http://a")


class Heard(ScriptedEngine):
    """Keeps the model that it was asked for."""

    asked = ""

    def generate(self, endpoint, request):
        self.asked = request.model
        return super().generate(endpoint, request)


async def test_models_are_asked_for_by_the_servers_name_and_listed_by_ours():
    server = Heard((Text("hi"), End("stop")), models=("/models/llama-8b.gguf", "other"))
    engine = RenamedEngine(server, NAMES)
    assert [model.name for model in await engine.models(HERE)] == ["small", "chat", "other"]
    assert [model.name for model in await engine.loaded(HERE)] == ["small", "chat", "other"]
    for name, there in (*NAMES.items(), ("other", "other")):
        assert [piece async for piece in engine.generate(HERE, a_request(model=name))][-1] == End("stop")
        assert server.asked == there
    assert engine.name == server.name
