"""Ctrl+C: in an import it kills, and who has stopped waits for no thread."""

import signal
import subprocess
import sys

import pytest

from backend.core.terminal import interrupt_kills


@pytest.mark.parametrize(
    ("before", "inside"),
    [(signal.default_int_handler, signal.SIG_DFL), (signal.SIG_IGN, signal.SIG_IGN)],
    ids=["heeded", "ignored"],
)
def test_only_where_it_would_raise_ctrl_c_kills_meanwhile(before, inside):
    kept = signal.signal(signal.SIGINT, before)
    try:
        with interrupt_kills():
            assert signal.getsignal(signal.SIGINT) is inside
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, kept)


def test_a_thread_that_works_on_holds_no_command_that_was_stopped():
    script = (
        "import sys, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "from backend.core.terminal import end_now\n"
        "sys.stderr.write('said'); end_now(130)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (130, "said")
