import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.addresses import complaint, credentials, masked, without_credentials


@pytest.mark.parametrize(
    "url",
    [
        "http://gpu1:11434", "https://gpu1", "HTTP://GPU1:1", "http://[::1]:11434", "http://u:p@[fe80::1]:1/x",
        "http://host_name:1", "http://é.example:1", "http://10.0.0.1:65535/a/b-c_d~e", "http://h:1/%20",
        "http://token@h", "http://u:p%40%2F@h", "http://h:",
    ],
)  # fmt: skip
def test_an_address_that_can_be_asked_is_good(url: str) -> None:
    assert complaint(url) == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:11434", "has no scheme: write http://localhost:11434"),
        ("gpu1", "has no scheme: write http://gpu1"),
        ("[::1]:11434", "has no scheme: write http://[::1]:11434"),
        ("u:hunter2@gpu1:1", "has no scheme: write http://**********@gpu1:1"),
        (":11434", "has no scheme: write http://HOST:PORT"),
        ("http:/gpu1", "has no scheme"),
        ("//gpu1", "has no scheme"),
        ("ftp://gpu1", "has another scheme than http or https"),
        ("http://", "has no valid host and port"),
        ("http://gpu1:port", "has no valid host and port"),
        ("http://gpu1:0", "has no valid host and port"),
        ("http://gpu1:65536", "has no valid host and port"),
        ("http://1.2.3:80", "has no valid host and port"),
        ("http://a..b", "has no valid host and port"),
        ("http://a b", "has no valid host and port"),
        ("http://[::1", "has no valid host and port"),
        ("http://u:hunter2/x@gpu1", "with %XX for what is special in user and password"),
        ("http://gpu1?x=1", "has a query"),
        ("http://gpu1/#x", "has a query or a fragment"),
        ("http://gpu1/é", "write them as %XX"),
        ("http://u%0d:p@gpu1", "control characters"),
    ],
)
def test_one_that_cannot_is_told_what_to_write(url: str, said: str) -> None:
    assert said in complaint(url)
    assert "hunter2" not in complaint(url)


def test_a_mask_hides_all_that_lets_one_in() -> None:
    assert masked("http://u:hun@ter2@gpu1:1/x") == "http://**********@gpu1:1/x"
    assert masked("http://u:hun/ter2@gpu1") == "http://**********@gpu1"
    assert masked("http://u:hun ter,2@gpu1") == "http://**********@gpu1"
    assert masked("u:hun/ter 2@gpu1") == "**********@gpu1"
    assert masked("u:hunter2@gpu1") == "**********@gpu1"
    assert masked("postgresql://h/x?user=u&password=hun,t er2&sslmode=a") == (
        "postgresql://h/x?user=u&password=**********&sslmode=a"
    )
    assert masked("http://a:hunter2@x, http://b:hunter2@y") == "http://**********@x, http://**********@y"
    assert masked("http://gpu1:11434") == "http://gpu1:11434"


@given(st.text(max_size=60))
def test_no_text_is_more_than_a_wrong_address(text: str) -> None:
    complaint(text)
    complaint(f"http://{text}")
    masked(text)


def test_credentials_are_taken_apart_and_out() -> None:
    assert credentials("http://a%40b:p%3A@h:1/x") == ("a@b", "p:")
    assert credentials("http://token@h") == ("token", "")
    assert credentials("http://@h") is None
    assert credentials("http://h") is None
    assert without_credentials("http://u:p@[::1]:1/x") == "http://[::1]:1/x"
