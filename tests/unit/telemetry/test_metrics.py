import os
import shutil
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.core.types import Usage
from backend.telemetry.metrics import MODELS, Metrics


def used() -> Metrics:
    """One of everything."""
    metrics = Metrics()
    metrics.first_token("tiny", 0.2)
    metrics.run_ended("tiny", "stop", 400)
    metrics.tokens("tiny", Usage(120, 30))
    metrics.stage("retrieve", 0.03)
    metrics.joined()
    metrics.resumed("ok")
    metrics.queue_wait(639)
    metrics.queue_depth("interactive", 3)
    metrics.pool_inflight("gpu0", "tiny", 1)
    metrics.pool_slots("gpu0", 2)
    metrics.instance_state("gpu0", "half_open")
    metrics.ingested("done", passages=12, seconds=0.4)
    return metrics


def families(metrics: Metrics) -> dict:
    return {f.name: f for f in text_string_to_metric_families(metrics.render()[0].decode())}


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
        *("libri_joined", "libri_resumes", "libri_pool_inflight", "libri_pool_slots"),
        *("libri_instance_state", "libri_queue_depth", "libri_queue_wait_seconds"),
        *("libri_ingest_documents", "libri_ingest_passages"),
        "libri_ingest_duration_seconds",
    }


def test_a_wait_of_ten_minutes_falls_into_a_bucket_of_its_own():
    metrics = used()
    assert value(metrics, "libri_queue_wait_seconds_bucket", le="640.0") == 1
    assert value(metrics, "libri_queue_wait_seconds_bucket", le="320.0") == 0


def test_what_was_counted_is_shown():
    metrics = used()
    metrics.instance_state("gpu0", "open")
    assert value(metrics, "libri_instance_state", instance="gpu0") == 2
    assert value(metrics, "libri_runs_total", result="stop") == 1
    assert value(metrics, "libri_ingest_passages_total") == 12
    assert value(metrics, "libri_queue_depth", **{"class": "interactive"}) == 3


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


def test_the_workers_of_a_machine_are_shown_together(tmp_path):
    count = (
        "from backend.telemetry.metrics import Metrics; m = Metrics(); m.joined(); m.pool_slots('gpu0', 2)"
    )
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", count], env=env, check=True)
    show = f"{count}; print(m.render()[0].decode())"
    shown = subprocess.run([sys.executable, "-c", show], env=env, check=True, capture_output=True, text=True)
    assert "libri_joined_total 3.0" in shown.stdout
    assert 'libri_pool_slots{instance="gpu0"} 2.0' in shown.stdout


def test_promtool_finds_nothing_to_say():
    promtool = shutil.which("promtool")
    if promtool is None:
        reason = "promtool is not installed (Debian: apt-get install prometheus)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    said = subprocess.run([promtool, "check", "metrics"], input=used().render()[0], capture_output=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")
