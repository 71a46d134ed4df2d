import os
import shutil
import subprocess
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.core.types import Usage
from backend.pool.base import InstanceStatus, PoolStatus
from backend.telemetry.metrics import MODELS, Metrics


def used() -> Metrics:
    """One of everything."""
    metrics = Metrics()
    metrics.first_token("tiny", 0.2)
    metrics.run_ended("tiny", "stop", 400)
    metrics.tokens("tiny", Usage(120, 30))
    metrics.stage("retrieve", 0.03)
    metrics.joined()
    metrics.taken_over()
    metrics.resumed("ok")
    metrics.queue_wait(639)
    metrics.retried("before_first_token")
    metrics.ingested("done", passages=12, seconds=0.4)
    return metrics


GPU0 = InstanceStatus("gpu0", "ollama", 2, 1, "half_open", serving={"tiny": 1}, tokens_per_s=80.5, on_gpu=1.0)
IDLE = InstanceStatus("gpu1", "openai", 4, 0, "closed")
POOL = PoolStatus((GPU0, IDLE), {"tiny": 3, "big": 2}, batch=1)


def families(metrics: Metrics, pool: PoolStatus = POOL) -> dict:
    return {f.name: f for f in text_string_to_metric_families(metrics.render(pool)[0].decode())}


def gauges(metrics: Metrics, pool: PoolStatus = POOL) -> dict[tuple[str, ...], float]:
    """Values of the pool's gauges by name and labels."""
    told = [f for f in families(metrics, pool).values() if f.name != "libri_event_streams"]
    found = [s for f in told if f.type == "gauge" for s in f.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in found}


def value(metrics: Metrics, sample: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(sample, labels)


def test_what_is_fed_is_there_and_nothing_else():
    names = set(families(used()))
    assert names == {
        *("gen_ai_server_time_to_first_token_seconds", "gen_ai_server_request_duration_seconds"),
        *(
            "gen_ai_client_token_usage",
            "libri_runs",
            "libri_stage_duration_seconds",
        ),
        *("libri_joined", "libri_takeovers", "libri_loop_failures", "libri_event_streams"),
        *("libri_resumes", "libri_log_ack_seconds", "libri_pool_inflight", "libri_pool_slots"),
        *("libri_instance_state", "libri_instance_tokens_per_second", "libri_instance_gpu_ratio"),
        *("libri_queue_depth", "libri_queue_wait_seconds", "libri_retries", "libri_pool_shared"),
        *("libri_ingest_documents", "libri_ingest_passages"),
        "libri_ingest_duration_seconds",
    }


def test_a_wait_of_ten_minutes_falls_into_a_bucket_of_its_own():
    metrics = used()
    assert value(metrics, "libri_queue_wait_seconds_bucket", le="640.0") == 1
    assert value(metrics, "libri_queue_wait_seconds_bucket", le="320.0") == 0


def test_what_was_counted_is_shown():
    metrics = used()
    assert value(metrics, "libri_runs_total", result="stop") == 1
    assert value(metrics, "libri_ingest_passages_total") == 12
    assert value(metrics, "libri_retries_total", phase="before_first_token") == 1


def test_the_pool_is_told_as_it_stands():
    assert gauges(Metrics()) == {
        ("libri_pool_inflight", "gpu0", "tiny"): 1,
        ("libri_pool_inflight", "gpu1", ""): 0,
        ("libri_pool_slots", "gpu0"): 2,
        ("libri_pool_slots", "gpu1"): 4,
        ("libri_instance_state", "gpu0"): 1,
        ("libri_instance_state", "gpu1"): 0,
        ("libri_instance_tokens_per_second", "gpu0"): 80.5,
        ("libri_instance_gpu_ratio", "gpu0"): 1,
        ("libri_queue_depth", "interactive"): 4,
        ("libri_queue_depth", "batch"): 1,
        ("libri_pool_shared",): 1,
    }


def test_an_instance_and_a_model_that_are_gone_are_not_told_any_more():
    metrics = Metrics()
    gauges(metrics)
    other = replace(GPU0, serving={"big": 2}, health="open")
    told = gauges(metrics, PoolStatus((other,), shared=False))
    assert {key[1] for key in told if len(key) > 1} == {"gpu0", "interactive", "batch"}
    assert told["libri_pool_inflight", "gpu0", "big"] == 2
    assert ("libri_pool_inflight", "gpu0", "tiny") not in told
    assert told["libri_instance_state", "gpu0"] == 2
    assert told["libri_pool_shared",] == 0
    assert told["libri_queue_depth", "interactive"] == 0


def test_models_beyond_the_bound_share_one_sample_of_an_instance():
    serving = {f"model{n}": 1 for n in range(MODELS + 5)}
    told = gauges(Metrics(), PoolStatus((replace(GPU0, serving=serving),)))
    assert told["libri_pool_inflight", "gpu0", "other"] == 5


def test_an_engine_that_does_not_count_leaves_no_tokens():
    metrics = Metrics()
    metrics.tokens("tiny", Usage())
    assert families(metrics)["gen_ai_client_token_usage"].samples == []


def test_models_cannot_multiply_without_bound():
    metrics = Metrics()
    for n in range(MODELS + 50):
        metrics.run_ended(f"model{n}", "stop", 1)
    counts = families(metrics)["gen_ai_server_request_duration_seconds"].samples
    models = {sample.labels["gen_ai_request_model"] for sample in counts}
    assert len(models) == MODELS + 1
    assert "other" in models


def test_two_processes_in_one_do_not_share():
    used()
    assert value(Metrics(), "libri_joined_total") == 0


def test_promtool_finds_nothing_to_say():
    promtool = shutil.which("promtool")
    if promtool is None:
        reason = "promtool is not installed (Debian: apt-get install prometheus)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    said = subprocess.run([promtool, "check", "metrics"], input=used().render(POOL)[0], capture_output=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")
