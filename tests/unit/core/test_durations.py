import pytest

from backend.core.durations import go_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800), ("1h30m", 5400), ("-1m", -60), ("+5m", 300), ("0s", 0), ("1.5h", 5400), (".5s", 0.5),
        ("1.s", 1), ("500ms", 0.5), ("1µs", 1e-6), ("1μs", 1e-6), ("1us", 1e-6), ("2562047h", 9223369200),
    ],
)  # fmt: skip
def test_what_go_understands_has_seconds(text: str, seconds: float) -> None:
    assert go_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "-1", "forever", "1d", "1w", "5 m", "30M", "1h-5m", "h", ".s", "9999999h", "٣m", "1e3s", " 1m"],
)
def test_what_go_refuses_has_none(text: str) -> None:
    assert go_seconds(text) is None
