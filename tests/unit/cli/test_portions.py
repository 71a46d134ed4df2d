"""What is sent to the running server at once, and what never is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.cli.portions import portions
from backend.ingest.plan import Entry

MARGIN = 64 * 1024


def entries(paths: Sequence[Path]) -> list[Entry]:
    return [Entry(path.name, path, "") for path in paths]


def names(files: list[Entry], room: int, refused: list[dict[str, Any]] | None = None) -> list[list[str]]:
    sent = portions(files, room + MARGIN, [] if refused is None else refused)
    return [[entry.name for entry, _ in portion] for portion in sent]


def test_no_portion_is_larger_than_a_request_may_be(tmp_path: Path) -> None:
    for number, size in enumerate((400, 400, 400, 1000, 10, 985)):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * size)
    expected = [["0.txt", "1.txt"], ["2.txt"], ["3.txt"], ["4.txt", "5.txt"]]
    assert names(entries(sorted(tmp_path.iterdir())), room=1005) == expected


def test_a_portion_holds_fifty_files_at_most(tmp_path: Path) -> None:
    for number in range(51):
        (tmp_path / f"{number}.txt").write_bytes(b"x")
    assert [len(portion) for portion in names(entries(list(tmp_path.iterdir())), room=1000)] == [50, 1]


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_bytes(b"x")
    unreadable = tmp_path / "unreadable.txt"
    unreadable.symlink_to("/proc/self/mem")  # an ordinary file to look at, even for root
    refused: list[dict[str, Any]] = []
    files = [Entry("bad.txt", tmp_path / "good.txt", "", "no"), *entries([unreadable, tmp_path / "good.txt"])]
    assert names(files, 1000, refused) == [["good.txt"]]
    assert [item["name"] for item in refused] == ["bad.txt", "unreadable.txt"]
    assert all(item["state"] == "failed" and item["reason"] for item in refused)


def test_a_file_larger_than_a_request_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(b"x" * 1001)
    refused: list[dict[str, Any]] = []
    assert names(entries([tmp_path / "large.txt"]), 1000, refused) == []
    assert [item["name"] for item in refused] == ["large.txt"]
