"""Model files from the Hugging Face hub, for models that no package carries."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

_PATTERNS = ["*.json", "model.safetensors", "1_Pooling/*"]


def from_hub(repository: str) -> Path:
    """Folder with the model's files: from the operator's cache, else the network (unless HF_HUB_OFFLINE).

    Raises:
        OSError: Neither has them.
    """
    try:
        hub = import_module("huggingface_hub")  # 0.15 s, and most models are on the machine already
        return Path(hub.snapshot_download(repository, allow_patterns=_PATTERNS))
    except OSError:
        raise
    except Exception as exc:  # of a proxy or an endpoint that its HTTP client cannot read
        raise OSError("the hub cannot be asked") from exc
