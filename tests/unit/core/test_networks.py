from ipaddress import ip_address, ip_network

import pytest

from backend.core.networks import address, network, within


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("10.0.0.5", "10.0.0.5"),
        (" 10.0.0.5:4711 ", "10.0.0.5"),
        ("::1", "::1"),
        ("[fd00::5]:443", "fd00::5"),
        ("[fd00::5]", "fd00::5"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_read_however_proxies_write_it(text, means):
    assert address(text) == ip_address(means)


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "localhost", "10.0.0", "10.0.0.5.6", "1:2", "[", "\x00"]
)
def test_what_is_no_address_is_none(text):
    assert address(text) is None


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("fd00::/8", "fd00::/8"),
        ("[::1]", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_is_read_from_its_address_and_length(text, means):
    assert network(text) == ip_network(means)


@pytest.mark.parametrize("text", ["", "all", "10.0.0.0/33", "10.0.0.0/-1", "fd00::/129", "*"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        network(text)


def test_networks_of_one_kind_hold_no_address_of_the_other():
    assert within(ip_address("10.9.9.9"), [network("fd00::/8"), network("10.0.0.0/8")])
    assert not within(ip_address("::1"), [network("0.0.0.0/0")])
    assert not within(ip_address("10.9.9.9"), [])
