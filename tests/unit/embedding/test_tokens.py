import numpy as np
import pytest
from tokenizers import Tokenizer

from backend.embedding.models import find
from backend.embedding.tokens import Tokens


@pytest.mark.parametrize("most", [3, 8, 256])
@pytest.mark.parametrize("words", [0, 1, 6, 7, 500])
def test_a_long_text_is_cut_as_the_tokenizer_itself_would(most, words):
    folder = find("all-MiniLM-L6-v2", "int8").source
    itself = Tokenizer.from_file(str(folder / "tokenizer.json"))
    itself.no_padding()
    itself.enable_truncation(most)
    text = "book " * words
    assert Tokens(folder, most).ids(text).tolist() == [itself.encode(text).ids]


def test_a_text_is_counted_whole_whatever_was_embedded_before():
    folder = find("all-MiniLM-L6-v2", "int8").source
    tokens = Tokens(folder, 8)
    assert tokens.ids("book " * 100).shape == (1, 8)
    assert tokens.count("book " * 100) == 100
    assert tokens.ids("x").dtype == np.int64
