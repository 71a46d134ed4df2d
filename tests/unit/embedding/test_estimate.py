"""Token counts where no tokenizer is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.embedding.estimate import estimated_tokens
from backend.embedding.models import find
from backend.embedding.tokens import Tokens

SAMPLE = Path("backend/sample")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_it_is_near_the_tokenizers_count_on_prose(language):
    model = find("all-MiniLM-L6-v2", "int8")
    tokens = Tokens(model.source, model.max_tokens)
    files = [*(SAMPLE / language).glob("*.md"), *(SAMPLE / language).glob("*.txt")]
    texts = [part for file in files for part in file.read_text("utf-8").split("\n\n") if len(part) > 60]
    ratios = sorted(tokens.count(text) / estimated_tokens(text) for text in texts)
    assert len(ratios) > 20
    assert 0.7 < ratios[0] < ratios[-1] < 1.25
    assert ratios[len(ratios) // 2] == pytest.approx(1, abs=0.1)


@given(st.text(max_size=50), st.text(max_size=50))
def test_more_text_is_never_fewer_tokens(first, second):
    assert 0 <= estimated_tokens(first) <= estimated_tokens(f"{first} {second}") + 10


def test_a_script_without_blanks_has_a_token_a_character():
    assert estimated_tokens("图书馆几点开门我可以借多久") >= 10
