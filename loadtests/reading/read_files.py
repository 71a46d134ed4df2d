"""Read files with the readers found on the path: `python read_files.py MEDIA_TYPE`, names on standard input.

Run as a file, so that PYTHONPATH says whose readers they are: this checkout's or an older one's. Writes a
line of JSON for each file, {seconds, error} or {seconds, title, blocks: [[kind, text, level], …],
notes: [[code, count], …]}, and at the end {peak_mb}. The first file is read twice, the first time untold:
imports are no reading.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from backend.ingest.parse.child import parse
from backend.ingest.parse.limits import Limits

LIMITS = Limits(seconds=60, memory_bytes=2 << 30, max_pages=5000, max_chars=20_000_000)


def read(media_type: str, data: bytes) -> dict[str, Any]:
    began = time.process_time()
    try:
        document = parse(media_type, data, LIMITS)
    except Exception as exc:  # noqa: BLE001  whatever it is, it is what became of this file
        return {"seconds": time.process_time() - began, "error": f"{type(exc).__name__}: {str(exc)[:200]}"}
    return {
        "seconds": time.process_time() - began,
        "title": document.title,
        "blocks": [[block.kind, block.text, block.level] for block in document.blocks],
        "notes": [[note.code, note.count] for note in getattr(document, "notes", ())],
    }


def main() -> None:
    media_type = sys.argv[1]
    for number, name in enumerate(sys.stdin.read().splitlines()):
        data = Path(name).read_bytes()
        if number == 0:
            read(media_type, data)
        print(json.dumps(read(media_type, data)), flush=True)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_mb": peak_kb / 1024}), flush=True)


if __name__ == "__main__":
    main()
