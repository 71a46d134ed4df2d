"""Real handbooks and guides as the product reads them, and the questions that we ask of each.

A shelf is a folder of documents that one organisation would have, searched by itself. The documents are other
people's: three shelves are folders of `--documents DIR`, the others are files of `--data DIR`.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from backend.config import Chunking, Ingest
from backend.core.types import Language, Passage
from backend.embedding.base import SPECIAL_TOKENS, Embedder
from backend.ingest.base import Parsed
from backend.ingest.chunk import chunk
from backend.ingest.parse.reader import SandboxReader
from loadtests.bench import read_jsonl

QUESTIONS: Final = Path(__file__).parent / "questions" / "handbooks.jsonl"
_OF_DATA: Final = {
    "mooncake": ("en-md-*",),
    "etalab": ("fr-md-*", "fr-pdf-*", "fr-html-datagouv-*"),
    "service-public": ("fr-txt-service-public-*",),
}
REVISION: Final = "r1"


@dataclass(frozen=True, slots=True)
class Question:
    """A question of ours.

    Attributes:
        kind: How it is asked; "off" and "near" are answered nowhere, the latter in some other handbook.
        document: Name of the file that answers it, "" for none; `section`: words of the heading or text.
    """

    question: str
    language: Language
    kind: str
    shelf: str
    document: str = ""
    section: str = ""

    @property
    def aside(self) -> bool:
        """Whether it belongs to the half that nothing was made by."""
        return hashlib.sha256(self.question.encode()).digest()[0] % 2 == 1

    def is_answered_by(self, passage: Passage) -> bool:
        """Whether a passage is of the document, and the section where one holds those words."""
        return passage.name == self.document and self.section.casefold() in passage.indexed_text.casefold()


def questions() -> list[Question]:
    """All of them."""
    return [Question(**row) for row in read_jsonl(QUESTIONS)]


def files(args: argparse.Namespace, shelf: str) -> list[Path]:
    """The documents of a shelf; none where the folder was not given."""
    if shelf in _OF_DATA:
        folder = args.data / "documents" if args.data else None
        found = [path for pattern in _OF_DATA[shelf] for path in (folder.glob(pattern) if folder else ())]
    else:
        found = [*(args.documents / shelf).iterdir()] if args.documents else []
    return sorted(path for path in found if path.is_file())


async def passages(paths: Sequence[Path], embedder: Embedder) -> list[Passage]:
    """Passages of documents, read and cut as at ingestion."""
    reader = SandboxReader(Ingest())
    try:
        read = [(path.name, await reader.read(path.name, path.read_bytes())) for path in paths]
    finally:
        await reader.close()
    return [one for name, parsed in read for one in _cut(name, parsed, embedder)]


def _cut(name: str, parsed: Parsed, embedder: Embedder) -> list[Passage]:
    cutting = Chunking()
    cut = partial(
        chunk,
        count_tokens=embedder.count_tokens,
        target_tokens=cutting.target_tokens,
        overlap_tokens=cutting.overlap_tokens,
        max_tokens=embedder.max_tokens - SPECIAL_TOKENS,
    )
    return [
        Passage(
            id=f"{name}#{i}",
            document=name,
            revision=REVISION,
            name=name,
            title=parsed.title,
            headings=one.headings,
            text=one.text,
            page=one.page,
            lead=one.lead,
            start=one.start,
            end=one.end,
            language=parsed.language,
        )
        for i, one in enumerate(cut(parsed))
    ]
