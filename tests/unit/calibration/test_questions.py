import json

import pytest

from backend.calibration.questions import read
from backend.core.errors import InvalidRequest

GOOD = {"question": "How long is a loan?", "language": "en", "document": "rules.md", "answer": "three weeks"}


def file_of(tmp_path, *lines, encoding="utf-8"):
    path = tmp_path / "asked.jsonl"
    path.write_bytes(
        "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines).encode(encoding)
    )
    return path


def test_a_question_with_and_one_without_an_answer(tmp_path):
    nowhere = {"question": "Quelle planète ?", "language": "fr"}
    found = read(file_of(tmp_path, GOOD, "", nowhere, GOOD))
    assert [(one.language, one.document, one.answer) for one in found] == [
        ("en", "rules.md", "three weeks"),
        ("fr", "", ""),
    ]


def test_a_mark_at_the_beginning_is_no_error(tmp_path):
    assert len(read(file_of(tmp_path, GOOD, encoding="utf-8-sig"))) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "line 2: Invalid JSON"),
        ("[1, 2]", "line 2: Input should be an object"),
        ({"question": "How long?"}, "line 2: language: Field required"),
        ({"question": "", "language": "en"}, "line 2: question: String should have at least 3"),
        ({"question": "How long?", "language": "xx"}, "line 2: language: String should match"),
        (
            {"question": "How long?", "language": "en", "answer": "weeks"},
            "line 2: Value error, `answer` needs",
        ),
        ({**GOOD, "anwser": "typed wrong"}, "line 2: anwser: Extra inputs are not permitted"),
        ({**GOOD, "document": None}, "line 2: document: Input should be a valid string"),
        ({**GOOD, "question": ["a", "list"]}, "line 2: question: Input should be a valid string"),
        ({**GOOD, "question": "x" * 5000}, "line 2: question: String should have at most 4000"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, said):
    with pytest.raises(InvalidRequest) as refused:
        read(file_of(tmp_path, GOOD, line))
    assert f"asked.jsonl, {said}" in refused.value.message
    assert len(refused.value.message) < 1000
    assert "\n" not in refused.value.message
    assert "xxx" not in refused.value.message


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "latin.jsonl").write_bytes("é".encode("latin-1"))
    (tmp_path / "blank.jsonl").write_text("\n \n")
    said = {
        "folder": "Is a directory",
        "latin": "not UTF-8",
        "blank": "holds no question",
        "gone": "No such file",
    }
    for name, words in said.items():
        with pytest.raises(InvalidRequest, match=words):
            read(tmp_path / f"{name}.jsonl")
