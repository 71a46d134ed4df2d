"""Colours of style sheets, and whether two of them can be told apart."""

from __future__ import annotations

import colorsys
import re

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
TRANSPARENT = "transparent"
_ALIKE = 16
"""Largest difference in any channel, of 255, that nobody sees: `#eee` on white is still told from it."""
_NAMES: dict[str, Colour] = {
    "white": WHITE,
    "snow": (255, 250, 250),
    "ghostwhite": (248, 248, 255),
    "floralwhite": (255, 250, 240),
    "whitesmoke": (245, 245, 245),
    "mintcream": (245, 255, 250),
    "azure": (240, 255, 255),
    "ivory": (255, 255, 240),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "grey": (128, 128, 128),
    "silver": (192, 192, 192),
    "red": (255, 0, 0),
    "maroon": (128, 0, 0),
    "yellow": (255, 255, 0),
    "olive": (128, 128, 0),
    "lime": (0, 255, 0),
    "green": (0, 128, 0),
    "aqua": (0, 255, 255),
    "cyan": (0, 255, 255),
    "teal": (0, 128, 128),
    "blue": (0, 0, 255),
    "navy": (0, 0, 128),
    "fuchsia": (255, 0, 255),
    "magenta": (255, 0, 255),
    "purple": (128, 0, 128),
    "orange": (255, 165, 0),
    "darkblue": (0, 0, 139),
    "darkgreen": (0, 100, 0),
    "darkred": (139, 0, 0),
}
_HEX = re.compile(r"#?([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})")
_CALL = re.compile(r"(rgb|hsl)a?\(([^()]*)\)")
_FAINT = 0.1


def parse(value: str) -> Colour | str | None:
    """The colour of a CSS value: red, green, blue of 255; `TRANSPARENT`; None where it is not known."""
    value = value.strip().lower()
    if value == TRANSPARENT:
        return TRANSPARENT
    if value in _NAMES:
        return _NAMES[value]
    if match := _HEX.fullmatch(value):
        return _from_hex(match.group(1))
    if match := _CALL.fullmatch(value):
        return _from_call(match.group(1), re.split(r"[\s,/]+", match.group(2).strip()))
    return None


def alike(one: Colour, other: Colour) -> bool:
    """Whether text of one colour on the other is not seen."""
    return all(abs(a - b) <= _ALIKE for a, b in zip(one, other, strict=True))


def _from_hex(digits: str) -> Colour | str:
    if len(digits) < 6:
        digits = "".join(digit * 2 for digit in digits)
    channels = [int(digits[i : i + 2], 16) for i in range(0, len(digits), 2)]
    if len(channels) == 4 and channels[3] < _FAINT * 255:
        return TRANSPARENT
    return (channels[0], channels[1], channels[2])


def _from_call(kind: str, parts: list[str]) -> Colour | str | None:
    try:
        values = [_number(part, 255 if kind == "rgb" and i < 3 else 1) for i, part in enumerate(parts)]
    except ValueError:
        return None
    if len(values) not in (3, 4):
        return None
    if len(values) == 4 and values[3] < _FAINT:
        return TRANSPARENT
    if kind == "hsl":
        red, green, blue = colorsys.hls_to_rgb(values[0] / 360 % 1, min(1, values[2]), min(1, values[1]))
        return (round(red * 255), round(green * 255), round(blue * 255))
    return (round(values[0]), round(values[1]), round(values[2]))


def _number(part: str, whole: int) -> float:
    """A part of a colour; a percentage is of `whole`."""
    return float(part[:-1]) * whole / 100 if part.endswith("%") else float(part.removesuffix("deg"))
