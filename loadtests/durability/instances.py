"""Emulated instances for these benchmarks."""

from __future__ import annotations

from typing import Any

MODEL = "llama3.1:8b"


def paced(tokens_per_s: float, *, prefill_tps: float = 1e6) -> dict[str, Any]:
    """Knobs of an instance that counts, at one pace for every stream.

    A slow pace stands for many streams, not for a slow card: as many prompt tokens are read a second, beside
    the streams, as by one that says 50 tokens a second to each.
    """
    speeds = {
        "load_s": 0.1,
        "prefill_tps": prefill_tps,
        "per_stream_tps": tokens_per_s,
        "n_batch": round(512 * max(1.0, 50 / tokens_per_s)),
    }
    return _counting(speeds)


def like_a_gpu() -> dict[str, Any]:
    """Knobs of an instance that counts, as fast as a good card: the more streams, the slower each."""
    decode = {1: 130, 2: 225, 4: 390, 8: 620, 12: 940, 16: 1250}
    return _counting({"load_s": 0.1, "prefill_tps": 6500, "decode": decode})


def _counting(speeds: dict[str, Any]) -> dict[str, Any]:
    return {
        "models": [{"name": MODEL, "speeds": speeds, "kv_bytes_per_token": 1}],
        "keep_alive_s": -1,
        "reply": {"mode": "count"},
    }
