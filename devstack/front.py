"""NGINX before several replicas."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devstack.child import Child, Command, StartError, listens, running
from devstack.nginx import OVER_HTTP, documented, program

_START_S = 60.0
_CONFIG = """
{user}
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream api {{
        zone api 64k;
        least_conn;
        {servers}
    }}
    {server}
}}
"""


@contextmanager
def balanced(replicas: Sequence[int], port: int, folder: Path) -> Iterator[Child]:
    """NGINX on this port, before replicas on those.

    Raises:
        StartError
    """
    if (found := program()) is None:
        raise StartError("nginx is not installed")
    folder.mkdir(exist_ok=True)
    text = documented()
    server = text[OVER_HTTP].replace("listen 80", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8000", "api")
    servers = "\n        ".join(f"server 127.0.0.1:{one} max_fails=0;" for one in replicas)
    (folder / "libriassist.conf").write_text(text["libriassist.conf"], "utf-8")
    (folder / "nginx.conf").write_text(
        _CONFIG.format(user="user root;" if os.geteuid() == 0 else "", servers=servers, server=server)
    )
    command: Command = [found, "-p", folder, "-e", "stderr", "-c", "nginx.conf"]
    with running("nginx", command, folder=folder.parent) as child:
        child.until(lambda: listens(port), _START_S)
        yield child
