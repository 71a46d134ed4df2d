"""A real NGINX: with a given `http` block, or before the application with the text of docs/operations.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from devstack.child import Command, StartError, free_port, listens, placed, running

NAME = "library.example.org"
"""The host of the documented configurations."""
DOCUMENT = Path(__file__).parents[1] / "docs" / "operations.md"
OVER_HTTP = "over HTTP; any other port will do"
_SHARED = "libriassist.conf"
_START_S = 10.0
_CONFIG = """
{user}
worker_processes {workers};
daemon off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {http}
}}
"""


def program() -> str | None:
    """Where it is; None: not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def documented() -> dict[str, str]:
    """The configurations in the document by the comment they begin with."""
    found = re.findall(r"```nginx\n# ([^\n]+)\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return dict(found)


@contextmanager
def nginx(
    http: str,
    port: int,
    *,
    workers: int = 1,
    files: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Path]:
    """NGINX with this in its `http` block, which listens on `port`; yields its folder.

    Args:
        files: More configuration, by name, for `include`.

    Raises:
        StartError
    """
    found = program()
    if found is None:
        raise StartError("nginx is not installed")
    user = "user root;" if os.geteuid() == 0 else ""
    with placed(folder, "nginx") as place:
        for name, text in (files or {}).items():
            (place / name).write_text(text, "utf-8")
        (place / "nginx.conf").write_text(_CONFIG.format(user=user, workers=workers, http=http), "utf-8")
        command: Command = [found, "-p", place, "-e", "stderr", "-c", "nginx.conf"]
        with running("nginx", command, folder=place) as child:
            child.until(lambda: listens(port), _START_S)
            yield place


@contextmanager
def before(
    app_url: str, server: str, *, shared: str | None = None, port: int = 0, folder: Path | None = None
) -> Iterator[int]:
    """NGINX before `app_url` with a `server` block as the document gives it; yields its port on 127.0.0.1.

    Only addresses and places of files are replaced.

    Args:
        shared: Takes the place of the document's `libriassist.conf`.
        port: 0: any free one.
    """
    port = port or free_port()
    with placed(folder, "proxy") as place:
        certificate = _certificate(place) if " ssl;" in server else place / "none"
        http = _moved(server, port, urlsplit(app_url).netloc, certificate)
        with nginx(http, port, files={_SHARED: shared or documented()[_SHARED]}, folder=place):
            yield port


def _moved(server: str, port: int, app: str, certificate: Path) -> str:
    text, listening = re.subn(r"listen (?:80|443)\b", f"listen 127.0.0.1:{port}", server)
    if (listening, text.count("127.0.0.1:8000")) != (1, 1):
        raise ValueError("the documented server listens once and leads to 127.0.0.1:8000 once")
    text = text.replace("127.0.0.1:8000", app)
    return re.sub(r"/etc/ssl/library\.example\.org(\.\w+)", rf"{certificate}\1", text)


def _certificate(folder: Path) -> Path:
    where = folder / "self-made"
    made = f"{where}.key -out {where}.pem -days 2 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {made}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return where
