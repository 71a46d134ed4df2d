"""NGINX in front of the instances, balancing by `least_conn` as its manual says one should."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from devstack.child import free_port
from devstack.nginx import nginx

_HTTP = """
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
"""


@contextmanager
def balanced(urls: Sequence[str]) -> Iterator[str]:
    """Its URL. Its workers count connections together (`zone`), so it is `least_conn` at its best.

    Raises:
        StartError
    """
    port = free_port()
    servers = "\n        ".join(f"server {urlsplit(url).netloc} max_fails=0;" for url in urls)
    with nginx(_HTTP.format(servers=servers, port=port), port, workers=2):
        yield f"http://127.0.0.1:{port}"
