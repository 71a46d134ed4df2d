import subprocess
import sys
from pathlib import Path

import pytest

from backend.infra.folder_lock import FolderBusy, hold

HOLDER = """
import sys, pathlib
from backend.infra.folder_lock import hold
with hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(FolderBusy, match="another process"), hold(tmp_path):
        pass
    with hold(tmp_path):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(FolderBusy), hold(tmp_path):
            pass
        process.kill()
        process.wait()
        with hold(tmp_path):
            pass
