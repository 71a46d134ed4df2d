"""A real NGINX before the application, with the very text that docs/operations.md gives."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadtests.pool import nginx

NAME = "library.example.org"
DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
_FRAME = """
{user}
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {server}
}}
"""


def documented() -> dict[str, str]:
    """The configurations in the document by the comment they begin with."""
    found = re.findall(r"```nginx\n# ([^\n]+)\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return dict(found)


def binary() -> str:
    """Path of NGINX; without it the test is skipped, or fails in CI."""
    found = nginx.binary()
    if found is None and os.environ.get("CI"):
        pytest.fail("no NGINX: CI must have one")
    if found is None:
        pytest.skip("no NGINX: the tests of proxies need one")
    return found


@contextmanager
def before(app_url: str, server: str, *, shared: str | None = None) -> Iterator[int]:
    """NGINX before `app_url` with a `server` block as the document gives it; yields its port on 127.0.0.1.

    Only addresses and places of files are replaced.

    Args:
        shared: Takes the place of the document's `libriassist.conf`.
    """
    port = nginx.free_port()
    with tempfile.TemporaryDirectory(prefix="libri-proxy-") as name:
        folder = Path(name)
        (folder / "libriassist.conf").write_text(shared or documented()["libriassist.conf"], "utf-8")
        certificate = _certificate(folder) if " ssl;" in server else folder / "none"
        placed = _placed(server, port, urlsplit(app_url).netloc, certificate)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_FRAME.format(user=user, server=placed), "utf-8")
        with subprocess.Popen([binary(), "-p", name, "-e", "stderr", "-c", "nginx.conf"]) as child:
            try:
                nginx.listens(port, child)
                yield port
            finally:
                child.terminate()


def _placed(server: str, port: int, app: str, certificate: Path) -> str:
    text, listens = re.subn(r"listen (?:80|443)\b", f"listen 127.0.0.1:{port}", server)
    assert (listens, text.count("127.0.0.1:8000")) == (1, 1)
    text = text.replace("127.0.0.1:8000", app)
    return re.sub(r"/etc/ssl/library\.example\.org(\.\w+)", rf"{certificate}\1", text)


def _certificate(folder: Path) -> Path:
    where = folder / "self-made"
    made = f"{where}.key -out {where}.pem -days 2 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {made}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return where
