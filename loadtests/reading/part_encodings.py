"""Encodings: one text file in each of nineteen ways that files of French and other offices come in."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from loadtests.bench import Report
from loadtests.reading.run import read_all, readers

FRENCH = (
    "L’été dernier, la médiathèque a prêté près de 12 000 livres à ses abonnés. "
    "Les élèves de l’école élémentaire, très nombreux, préfèrent les bandes dessinées ; "
    "le règlement intérieur précise où déposer les ouvrages abîmés.\n"
)
PLAIN_FRENCH = FRENCH.replace("’", "'")
SHORT = "Où est la clé du musée ?"
RUSSIAN = "Библиотека открыта каждый день с десяти часов утра, кроме понедельника и праздничных дней.\n"
SIGNS = "Le café coûte 3 € ; le bœuf, 12 €.\n"
BAD_BYTE = 0x9C


def cases() -> dict[str, tuple[bytes, str]]:
    """Bytes and the text that they are, by name; a bad byte is U+FFFD there."""
    long, plain = FRENCH * 3, PLAIN_FRENCH * 3
    utf8 = long.encode()
    bad = utf8[:400] + bytes((BAD_BYTE,)) + utf8[400:]
    cut = utf8[: utf8.rindex("é".encode()) + 1]
    return {
        "ascii": (b"The library opens at ten.", "The library opens at ten."),
        "utf-8": (utf8, long),
        "utf-8 short": (SHORT.encode(), SHORT),
        "utf-8 with mark": (long.encode("utf-8-sig"), long),
        "utf-8, one bad byte": (bad, bad.decode("utf-8", "replace")),
        "utf-8, cut": (cut, cut.decode("utf-8", "replace")),
        "utf-16 with mark": (long.encode("utf-16"), long),
        "utf-16-le, no mark": (long.encode("utf-16-le"), long),
        "utf-16-be, no mark": (long.encode("utf-16-be"), long),
        "utf-32 with mark": (long.encode("utf-32"), long),
        "cp1252": (long.encode("cp1252"), long),
        "cp1252 short": (SHORT.encode("cp1252"), SHORT),
        "cp1252 signs": (SIGNS.encode("cp1252"), SIGNS),
        "latin-1": (plain.encode("latin-1"), plain),
        "latin-1 short": (SHORT.encode("latin-1"), SHORT),
        "latin-9": (SIGNS.encode("iso8859-15"), SIGNS),
        "mac-roman": (plain.encode("mac-roman"), plain),
        "cp850": (plain.encode("cp850"), plain),
        "cp1251": ((RUSSIAN * 3).encode("cp1251"), RUSSIAN * 3),
    }


def measure(args: argparse.Namespace, report: Report) -> None:
    """How many of the cases come out as they were written."""
    wanted = cases()
    rows: dict[str, list[object]] = {name: [name] for name in wanted}
    right = 0
    for reader, checkout in readers(args).items():
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{number}.txt") for number in range(len(wanted))]
            for path, (data, _) in zip(paths, wanted.values(), strict=True):
                path.write_bytes(data)
            run = read_all(paths, "text/plain", checkout=checkout)
        for (name, (_, text)), file in zip(wanted.items(), run.files, strict=True):
            same = _letters(file.text) == _letters(text)
            rows[name].append("right" if same else file.error or "wrong")
            right += same and reader == "now"
    report.table("Encodings", ("case", *readers(args)), list(rows.values()), key="encodings")
    report.bar("encodings read right", right, at_least=17)


def _letters(text: str) -> str:
    """`text` without blanks and without what stands for bad bytes: our readers drop it."""
    return "".join(text.replace("\ufffd", "").split())
