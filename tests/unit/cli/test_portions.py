"""What is sent to the running server at once, and what never is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.cli.portions import portions

MARGIN = 64 * 1024


def names(paths: list[Path], room: int, refused: list[dict[str, Any]] | None = None) -> list[list[str]]:
    sent = portions(paths, room + MARGIN, [] if refused is None else refused)
    return [[name for name, _ in portion] for portion in sent]


def test_no_portion_is_larger_than_a_request_may_be(tmp_path: Path) -> None:
    for number, size in enumerate((400, 400, 400, 1000, 10, 990)):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * size)
    expected = [["0.txt", "1.txt"], ["2.txt"], ["3.txt"], ["4.txt", "5.txt"]]
    assert names([tmp_path], room=1000) == expected


def test_a_portion_holds_fifty_files_at_most(tmp_path: Path) -> None:
    for number in range(51):
        (tmp_path / f"{number}.txt").write_bytes(b"x")
    assert [len(portion) for portion in names([tmp_path], room=1000)] == [50, 1]


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_bytes(b"x")
    (tmp_path / "con.txt").write_bytes(b"x")
    unreadable = tmp_path / "unreadable.txt"
    unreadable.symlink_to("/proc/self/mem")  # an ordinary file to look at, even for root
    refused: list[dict[str, Any]] = []
    paths = [tmp_path / "con.txt", unreadable, tmp_path / "good.txt"]
    assert names(paths, 1000, refused) == [["good.txt"]]
    assert [item["name"] for item in refused] == ["con.txt", "unreadable.txt"]
    assert all(item["state"] == "failed" and item["reason"] for item in refused)
