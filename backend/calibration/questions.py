"""The operator's questions: a file of JSON lines, each a question and where the documents answer it.

    {"question": "How long may I keep a book?", "language": "en", "document": "rules.md", "answer": "3 weeks"}
    {"question": "Which planet is the largest?", "language": "en"}

`question` and `language` (two letters, as "fr") are needed. `document` is the name of a document of the
corpus that answers; `answer`, words that stand in it as they are: without them any passage of the document is
taken for the answer, and nothing is learned about quoting. One without `document` is answered by none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from backend.core.errors import InvalidRequest
from backend.core.languages import PATTERN
from backend.core.types import Language

MOST_QUESTIONS = 20_000
_MOST_BYTES = 64 * 1024**2


class Asked(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    question: str = Field(min_length=3, max_length=4000)
    language: Annotated[Language, StringConstraints(pattern=PATTERN)]
    document: str = ""
    answer: str = ""

    @model_validator(mode="after")
    def _answer_stands_somewhere(self) -> Asked:
        if self.answer and not self.document:
            raise ValueError("`answer` needs `document`: the name of the document in which it stands")
        return self


def read(path: Path) -> list[Asked]:
    """The questions, a question that is there twice once.

    Raises:
        InvalidRequest: The file cannot be used; names the line and what is wrong with it.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InvalidRequest(f"{path.name}: larger than {_MOST_BYTES // 1024**2} MB")
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"{path.name}: not UTF-8 text") from exc
    except OSError as exc:
        raise InvalidRequest(f"{path.name}: {exc.strerror or 'it cannot be read'}") from exc
    found: dict[tuple[str, Language], Asked] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            one = _asked(path.name, number, line)
            found.setdefault((one.question, one.language), one)
    if not found:
        raise InvalidRequest(f"{path.name}: holds no question")
    if len(found) > MOST_QUESTIONS:
        raise InvalidRequest(f"{path.name}: more than {MOST_QUESTIONS} questions")
    return list(found.values())


def _asked(name: str, number: int, line: str) -> Asked:
    try:
        return Asked.model_validate_json(line)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequest(
            f"{name}, line {number}: {where + ': ' if where else ''}{first['msg'][:300]}"
        ) from exc
