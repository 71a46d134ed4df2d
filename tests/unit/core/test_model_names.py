import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.model_names import LONGEST_NAME, is_model_name, is_offerable
from backend.telemetry.logs import JsonFormatter, Redactor
from backend.telemetry.metrics import Metrics

PATH = "/srv/models/Meta Llama 3.1 (8B) [Instruct]/" + "q4_k_m," * 14 + "v=1.gguf"


FINE = (
    *("llama3.2:latest", "hf.co/org/Model-GGUF:Q4_K_M", PATH, r"C:\Models\Älteres Modell.gguf", "模型-7b"),
    *("a" * LONGEST_NAME, "m|x,y;z#1?a=b&c%20", "'\"<b>{}", "Model", "model", "None", "0"),
)
UNFIT = (
    *("", " ", " m", "m\n", "a\nb", "a\tb", "a\0b", "\x1b[31mred", "a\u202egfe", "a\u200bb", "\ufeffm"),
    *("a\u2028b", "\ufffd", "\ud800", "a\u2066b", "\u3164", "m\ufe0f", "a\u00a0b", "\u00ad", "*", "a\x85b"),
    "a" * (LONGEST_NAME + 1),
)


@pytest.mark.parametrize("name", FINE)
def test_what_servers_call_their_models_can_be_asked_for(name):
    assert is_offerable(name)


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_shown_or_stands_for_all_is_no_name(name):
    assert not is_model_name(name)


def test_asking_for_the_name_of_quoting_never_means_a_model():
    assert is_model_name("extractive")
    assert not is_offerable("extractive")


@given(st.text(alphabet=st.characters(), max_size=60))
def test_every_name_that_is_offered_makes_one_line_of_a_log_and_a_label_of_a_metric(name):
    if not is_offerable(name):
        return
    assert name.encode().decode() == name
    record = logging.makeLogRecord({"msg": "loaded", "model": name})
    written = JsonFormatter(Redactor()).format(record)
    assert "\n" not in written
    assert json.loads(written)["model"] == name
    metrics = Metrics()
    metrics.first_token(name, 0.1)
    shown = metrics.registry.get_sample_value(
        "gen_ai_server_time_to_first_token_seconds_count",
        {
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": "libriassist",
            "gen_ai_request_model": name,
        },
    )
    assert shown == 1
