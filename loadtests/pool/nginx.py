"""A real NGINX in front of the instances, balancing by `least_conn` as its manual says one should."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

_CONFIG = """
{user}
worker_processes 2;
daemon off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    upstream instances {{
        zone instances 256k;
        least_conn;
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://instances;
            proxy_http_version 1.1;
            proxy_set_header Host localhost;  # Ollama on loopback refuses the upstream's name
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
}}
"""


def is_installed() -> bool:
    return binary() is not None


@contextmanager
def nginx(urls: Sequence[str]) -> Iterator[str]:
    """Its URL; it runs in a folder of its own and leaves nothing behind.

    Its workers count connections together (`zone`), so it is `least_conn` at its best.

    Raises:
        RuntimeError: It is not installed, or did not start.
    """
    program = binary()
    if program is None:
        raise RuntimeError("nginx is not installed")
    port = free_port()
    servers = "\n        ".join(f"server {urlsplit(url).netloc} max_fails=0;" for url in urls)
    user = "user root;" if os.geteuid() == 0 else ""
    with tempfile.TemporaryDirectory(prefix="libri-nginx-") as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(_CONFIG.format(user=user, servers=servers, port=port), "utf-8")
        with subprocess.Popen([program, "-p", folder, "-e", "stderr", "-c", config.name]) as child:
            try:
                listens(port, child)
                yield f"http://127.0.0.1:{port}"
            finally:
                child.terminate()


def binary() -> str | None:
    """Where it is; None: not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def listens(port: int, child: subprocess.Popen[bytes], within_s: float = 10.0) -> None:
    """Wait until it does.

    Raises:
        RuntimeError: It ended, or did not within that time.
    """
    until = time.monotonic() + within_s
    while time.monotonic() < until and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("nginx did not start")
