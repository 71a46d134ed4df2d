"""The small parts: tokens, prefixes, replies, durations, stop strings, faults, knobs, time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_emulator.clock import Stamps, VirtualClock, sleep
from ollama_emulator.dialogue import Chat, Text, TooLong, cut
from ollama_emulator.durations import FOR_EVER_S, keep_alive
from ollama_emulator.faults import KINDS, FaultBook
from ollama_emulator.generation import Generation
from ollama_emulator.knobs import Knobs, from_environment
from ollama_emulator.models import full_name, model
from ollama_emulator.options import BadOption, checked
from ollama_emulator.prefix import HostStore, Slots
from ollama_emulator.presets import PRESETS, models_of
from ollama_emulator.replies import Prompted, Reply, ReplySource
from ollama_emulator.speeds import Speeds
from ollama_emulator.templates import AFTER_ASSISTANT
from ollama_emulator.tokens import common_prefix, message_tokens, tokenise
from ollama_emulator.truth import Record
from ollama_emulator.wire import Metrics, go_json


@given(st.text())
def test_a_text_is_its_tokens_joined(text):
    assert "".join(tokenise(text)) == text


@given(st.text(), st.integers(1, 30))
def test_a_text_is_its_tokens_joined_however_long_they_may_be(text, letters):
    assert "".join(tokenise(text, letters)) == text
    assert all(token.strip() in text for token in tokenise(text, letters))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Library [12], ok", ["Library", " [", "12", "]", ",", " ok"]),
        ("Öffnungszeiten: 9 Uhr", ["Öffnungszeiten", ":", " 9", " Uhr"]),
        ("図書館は九時", ["図書", "館は", "九時"]),
        ("so </think>\n\nNine", ["so", " ", "</think>", "\n\n", "Nine"]),
        ("<|channel|>final", ["<|channel|>", "final"]),
        ("a" * 50, ["a" * 24, "a" * 24, "aa"]),
    ],
)
def test_tokens_are_words_or_one_sign_with_the_blank_before(text, tokens):
    assert tokenise(text) == tokens


def test_a_tokeniser_that_never_saw_the_language_makes_more_of_a_word():
    assert tokenise("Library ok", 3) == ["Lib", "rar", "y", " ok"]


def test_the_next_prompt_begins_with_this_prompt_and_its_answer():
    asked = message_tokens({"role": "user", "content": "hello there"})
    said = tokenise("General remarks.")
    next_turn = asked + message_tokens({"role": "assistant", "content": "General remarks."})
    assert len(asked) == len(tokenise("hello there")) + 4
    assert common_prefix(next_turn, asked + said) == len(asked + said)


@given(st.lists(st.sampled_from("ab"), max_size=700), st.lists(st.sampled_from("ab"), max_size=5), st.data())
def test_the_common_prefix_is_the_common_prefix(a, tail, data):
    b = a[: data.draw(st.integers(0, len(a)))] + tail
    naive = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert common_prefix(a, b) == naive


def test_the_most_similar_idle_slot_is_taken_else_the_least_recently_used():
    slots = Slots.make(3, 0)
    for number, word in enumerate("abc"):
        slots.all[number].tokens = [word] * 100
        slots.all[number].used_s = 3 - number
    assert slots.take(["b"] * 100, 10)[0].id == 1
    slots.all[1].busy = False
    assert slots.take(["x"] * 100, 11)[0].id == 2


def test_at_least_one_token_is_read_again():
    slots = Slots.make(1, 0)
    slots.all[0].tokens = ["a"] * 100
    assert slots.take(["a"] * 100, 1)[1] == 99


def test_a_sequence_that_lost_its_slot_comes_back_from_the_host():
    slots = Slots.make(1, 1000)
    for word in "ab":
        slot, _ = slots.take([word] * 100, 1)
        slots.give_back(slot, [word] * 100, 1)
    assert slots.take(["a"] * 100, 2)[1] == 99


def test_the_host_drops_what_was_saved_first():
    store = HostStore(250)
    for word in "abc":
        store.save([word] * 100)
    assert store.take(["a"] * 100, 0) is None
    assert store.take(["c"] * 100, 0) == ["c"] * 100


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (15, 15.0), ("10s", 10.0), ("1h2m3.5s", 3723.5), ("0", 0.0), ("500ms", 0.5)],
)
def test_durations(value, seconds):
    assert keep_alive(value) == seconds


@pytest.mark.parametrize("value", [-1, "-1s", "-5m"])
def test_a_negative_duration_is_for_ever(value):
    assert keep_alive(value) > 290 * 365 * 86_400


@pytest.mark.parametrize("value", ["", "x", "10", "5 s", "1s2"])
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match=r"time: (invalid|missing unit in) duration"):
        keep_alive(value)


def test_options_keep_what_they_know_and_refuse_wrong_types():
    assert checked({"num_ctx": 4096.0, "warp": 9, "seed": None})["num_ctx"] == 4096
    for wrong in ({"num_ctx": True}, {"temperature": "hot"}, {"use_mmap": 1}, {"stop": "x"}, {"stop": [1]}):
        with pytest.raises(BadOption, match="must be of"):
            checked(wrong)


async def test_a_stop_string_is_found_across_tokens_and_never_shown():
    said: list[str] = []
    it = Generation(
        [], Reply(["a", " b", " c", " d"]), 99, Record(1, "/"), lambda _t, text: said.append(text), (" c d",)
    )
    ends = [it.next_token(0.0) for _ in range(4)]
    assert ends == [None, None, None, "stop"]
    assert "".join(said) == "a b"


async def test_what_only_looked_like_a_stop_string_is_shown_in_the_end():
    said: list[str] = []
    it = Generation([], Reply(["a", " b"]), 99, Record(1, "/"), lambda _t, text: said.append(text), (" b c",))
    assert [it.next_token(0.0) for _ in range(2)] == [None, "stop"]
    assert "".join(said) == "a b"


ROLES = ("system", "user", "assistant", "user")


def test_the_oldest_turns_go_first_and_the_system_stays():
    messages = [{"role": role, "content": f"{role} " * 50} for role in ROLES]
    full = Chat(messages).fit(10_000, truncate=True)
    some = Chat(messages).fit(len(full) - 1, truncate=True)
    assert some == [t for m in (messages[0], *messages[2:]) for t in message_tokens(m)]


def test_a_prompt_that_can_not_fit_is_cut_or_refused_as_the_request_says():
    asked = Chat([{"role": "user", "content": "word " * 500}])
    assert len(asked.fit(100, truncate=True)) == 52
    with pytest.raises(TooLong, match="exceed_context_size_error"):
        asked.fit(100, truncate=False, shift=False)
    with pytest.raises(TooLong, match="the prompt is longer than the context length"):
        asked.fit(100, truncate=True, shift=False)


def test_a_cut_keeps_the_beginning_and_the_end():
    tokens = [str(i) for i in range(1000)]
    assert cut(tokens, 104, 4) == ["0", "1", "2", "3", *map(str, range(950, 1000))]
    with pytest.raises(TooLong):
        Text(tokens).fit(100, truncate=False)


@pytest.mark.parametrize("mode", ["words", "echo", "recite"])
def test_a_reply_follows_from_seed_and_prompt(mode):
    asked = Prompted("m", "why so", "rules\n\nwhy so")
    source = ReplySource(mode)
    one = source.reply(asked, "continue", 1)
    assert one == source.reply(asked, "continue", 1)
    assert (mode != "words") == (one == source.reply(asked, "continue", 2))


@given(st.sampled_from(["continue", "trim_space"]), st.integers(0, 60))
def test_a_reply_goes_on_where_the_prefill_ends(behaviour, cut_at):
    source = ReplySource("words")
    whole = "".join(source.reply(Prompted("m", "q", "q"), behaviour, 1).tokens)
    begun = whole[:cut_at]
    rest = "".join(source.reply(Prompted("m", "q", "q", prefill=begun), behaviour, 1).tokens)
    assert begun + rest in (whole, whole.replace(begun + " ", begun, 1))


@pytest.mark.parametrize("begun", ["", "1 2 3", "1 2 3 4 5 6"])
def test_a_count_has_as_many_tokens_as_it_is_asked_for_and_goes_on_where_it_was(begun):
    asked = Prompted("m", "17 count to 250 please", "", prefill=begun)
    tokens = ReplySource("count").reply(asked, "continue", 0).tokens
    numbers = (begun + "".join(tokens)).split()
    assert numbers == [str(n) for n in range(1, 251)]
    assert len(tokens) == 250 - len(begun.split())


def test_a_count_begins_where_it_is_asked_to():
    tokens = (
        ReplySource("count").reply(Prompted("m", "count from 700 to 702, please", ""), "continue", 0).tokens
    )
    assert "".join(tokens).split() == ["700", "701", "702"]


def test_a_script_is_chosen_by_the_question():
    source = ReplySource().updated({"scripts": [{"when": "hall", "content": "nine"}, "what?"]})
    assert "".join(source.reply(Prompted("m", "the hall?", "x"), "continue", 0).tokens) == "nine"
    assert "".join(source.reply(Prompted("m", "tickets?", "x"), "continue", 0).tokens) == "what?"


def test_knobs_come_from_the_environment_and_refuse_what_they_do_not_know():
    knobs = from_environment({"OLLAMA_NUM_PARALLEL": "4", "OLLAMA_KEEP_ALIVE": "60s", "EMU_SEED": "3"})
    assert (knobs.num_parallel, knobs.keep_alive_s, knobs.seed) == (4, 60.0, 3)
    with pytest.raises(ValueError, match="unknown knob"):
        Knobs().updated({"slots": 3})


@pytest.mark.parametrize(
    ("value", "seconds"), [("5m", 300.0), ("24h", 86_400.0), ("-1", FOR_EVER_S), ("0", 0.0), ("60", 60.0)]
)
def test_keep_alive_is_named_as_operators_name_it(value, seconds):
    assert from_environment({"OLLAMA_KEEP_ALIVE": value}).keep_alive_s == seconds


def test_models_come_as_json_and_what_is_not_named_keeps_its_default():
    speeds = {"load_s": 0.5, "decode": {"1": 50, "4": 100}}
    table = [{"name": "Fast", "speeds": speeds}, {"name": "tuned", "adapters": ["a"]}]
    fast, tuned = Knobs().updated({"models": table}).models
    assert (fast.name, fast.speeds.decode_tps(4), fast.speeds.prefill_tps) == ("fast:latest", 100, 6500)
    assert (tuned.adapters, tuned.speeds) == (("a",), Speeds())


def test_seventeen_templates_begin_anew_and_three_open_a_users_turn():
    kinds = [behaviour for name, behaviour in AFTER_ASSISTANT.items() if name != "checks_last"]
    assert (kinds.count("restart"), kinds.count("user_turn"), len(kinds)) == (17, 3, 20)


def test_a_behaviour_that_is_named_wins_over_the_templates():
    table = [{"name": "a", "template": "chatml"}, {"name": "b", "template": "chatml", "prefill": "repeat"}]
    assert [m.after_assistant for m in Knobs().updated({"models": table}).models] == ["restart", "repeat"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x", "warp": 9},
        {},
        {"name": "x", "speeds": {"warp": 9}},
        {"name": "x", "template": "warp"},
        {"name": "x", "prefill": "warp"},
    ],
)
def test_what_is_no_model_is_refused(wrong):
    with pytest.raises(ValueError, match=r"warp|a model has a name"):
        Knobs().updated({"models": [wrong]})


def test_a_curve_is_straight_between_its_points_and_flat_beyond():
    speeds = Speeds(decode={1: 100, 4: 250})
    assert [speeds.decode_tps(b) for b in (1, 2, 4, 9)] == [100, 150, 250, 250]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_the_five_kinds_of_model(name):
    table = models_of(PRESETS[name])
    assert {c for m in table for c in m.capabilities} == {"completion", "tools", "thinking", "embedding"}
    lora = next(m for m in table if m.adapters)
    assert sum(m.blob == lora.blob for m in table) == 2


def test_names_are_compared_without_case_and_with_their_tag():
    assert full_name("Llama3.1") == "llama3.1:latest"
    assert full_name("registry.ollama.ai/library/x:1") == "x:1"
    assert model("X").name == "x:latest"


def test_json_is_escaped_as_go_escapes_it():
    assert go_json({"a": "<&>\u2028"}) == b'{"a":"\\u003c\\u0026\\u003e\\u2028"}'


def test_zero_metrics_are_left_out():
    assert Metrics(total_s=1.5, tokens=2).fields() == {"total_duration": 1_500_000_000, "eval_count": 2}


async def test_simulated_time_jumps_from_work_to_work_and_fires_timers_on_its_way():
    clock = VirtualClock()
    fired: list[float] = []
    clock.call_at(5, lambda: fired.append(clock.now()))
    clock.call_at(50, lambda: fired.append(clock.now()))
    clock.call_at(6, lambda: fired.append(clock.now())).cancel()
    await asyncio.gather(sleep(clock, 10), sleep(clock, 3))
    assert (clock.now(), fired) == (10, [5])


async def test_stamps_cut_trailing_noughts():
    clock = VirtualClock(auto=False)
    stamps = Stamps(clock)
    stamps._epoch_ns = 1_700_000_000_000_000_000
    assert stamps.now() == "2023-11-14T22:13:20Z"
    await clock.advance(0.5)
    assert stamps.now() == "2023-11-14T22:13:20.5Z"


def test_every_fault_is_named_in_the_modules_list():
    import ollama_emulator.faults as module  # noqa: PLC0415

    assert all(kind in (module.__doc__ or "") for kind in KINDS)


def test_a_fault_that_has_struck_often_enough_is_over():
    book = FaultBook(lambda: 0.0)
    book.add({"kind": "status", "times": 2})
    assert [book.strike("status") is not None for _ in range(4)] == [True, True, False, False]


def test_a_fault_for_one_model_spares_the_others():
    book = FaultBook(lambda: 0.0)
    book.add({"kind": "status", "model": "a"})
    assert book.strike("status", "a:latest")
    assert not book.strike("status", "b:latest")
    assert not book.strike("status", "")
