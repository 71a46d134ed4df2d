import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.security.secret_file import read_or_create


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "data" / "secret"
    first = read_or_create(path)
    assert len(first) == 64
    assert read_or_create(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_processes_that_start_together_agree(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: read_or_create(tmp_path / "secret"), range(32)))
    assert len(secrets) == 1


def test_a_file_open_to_others_is_closed(tmp_path):
    path = tmp_path / "secret"
    path.write_text("x" * 64)
    path.chmod(0o644)
    read_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "secret").write_text("short")
    with pytest.raises(ValueError, match="secret is damaged"):
        read_or_create(tmp_path / "secret")
