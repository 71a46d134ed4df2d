"""Machines with realistic speeds, and the models each instance starts with.

Where the figures come from. Decoding reads all weights once a step, so one stream's rate is near memory
bandwidth divided by model size: an RTX 4090 has 1,008 GB/s, a 3090 936 GB/s, two channels of DDR5 about 80
GB/s; an 8B model in Q4_K_M is 4.9 GB. What is reached is 60 to 65 % of it on these cards, at a few thousand
tokens of context. Published llama.cpp runs (RTX 3090, 8B Q4_0, 32k context: 2, 4, 8, 16 rows a step give 170,
303, 440, 874 tokens/s; RTX 4090: one row 103, sixteen rows with no context 1,890; prompt 10,360 tokens/s in
batches of 512) set the shape of the aggregate curves; prompts are put at two thirds of the published peak,
for Q4_K_M and for context. They are estimates: calibrate with `eval_count / eval_duration` of a real machine
before you promise a capacity.
"""

from __future__ import annotations

from dataclasses import dataclass

from ollama_emulator.models import GIB, Model, digest, model
from ollama_emulator.speeds import Speeds


@dataclass(frozen=True, slots=True)
class Preset:
    """A machine and the size of chat model it serves.

    Attributes:
        vram_bytes: 0: no limit is emulated.
        names: The plain chat model, the one that thinks, and the base of the LoRA.
    """

    note: str
    speeds: Speeds
    vram_bytes: int
    params: str = "8.0B"
    size: int = 4_920_000_000
    kv_bytes_per_token: int = 131_072
    names: tuple[str, str, str] = ("llama3.1:8b", "qwen3:8b", "mistral:7b")


_14B = {
    "params": "14.8B",
    "size": 8_990_000_000,
    "kv_bytes_per_token": 196_608,
    "names": ("qwen2.5:14b", "qwen3:14b", "phi4:14b"),
}

PRESETS: dict[str, Preset] = {
    "7b-4090": Preset(
        "7B/8B Q4_K_M on an RTX 4090",
        Speeds(3.0, 6500, 512, {1: 130, 2: 225, 4: 390, 8: 620, 16: 1250}),
        24 * GIB,
    ),
    "7b-3090": Preset(
        "7B/8B Q4_K_M on an RTX 3090",
        Speeds(3.5, 3000, 512, {1: 105, 2: 185, 4: 310, 8: 450, 16: 870}),
        24 * GIB,
    ),
    "7b-cpu": Preset(
        "7B/8B Q4_K_M on a desktop CPU, two channels of DDR5: bandwidth for one stream, arithmetic beyond",
        Speeds(4.0, 45, 512, {1: 10, 2: 16, 4: 24, 8: 30}),
        0,
    ),
    "14b-4090": Preset(
        "14B Q4_K_M on an RTX 4090",
        Speeds(5.5, 3400, 512, {1: 72, 2: 125, 4: 215, 8: 340, 16: 690}),
        24 * GIB,
        **_14B,  # type: ignore[arg-type]
    ),
    "paced-5ms": Preset(
        "not a machine: a token each 5 ms for every stream, prompts cost nothing; to measure a gateway",
        Speeds(0.05, 1e9, 2048, per_stream_tps=200.0),
        0,
    ),
}


def models_of(preset: Preset) -> tuple[Model, ...]:
    """The default table: chat with tools, one that thinks, one that embeds, and a base with its LoRA."""
    sized = {
        "params": preset.params,
        "size": preset.size,
        "kv_bytes_per_token": preset.kv_bytes_per_token,
        "speeds": preset.speeds,
    }
    shared = f"sha256-{digest('blob of the base and its adapter')}"
    embedder = Speeds(0.4, preset.speeds.prefill_tps * 12, 512)
    plain, thinker, base = preset.names
    return (
        model(plain, **sized),
        model(
            thinker,
            family="qwen3",
            capabilities=("completion", "tools", "thinking"),
            train_ctx=40_960,
            native=False,
            **sized,
        ),
        model(base, blob=shared, **sized),
        model(f"{base.split(':')[0]}-lora", blob=shared, adapters=("lora-1",), **sized),
        model(
            "nomic-embed-text",
            family="nomic-bert",
            quant="F16",
            params="137M",
            size=274_302_450,
            train_ctx=2048,
            capabilities=("embedding",),
            embed_dim=768,
            kv_bytes_per_token=0,
            speeds=embedder,
        ),
    )
