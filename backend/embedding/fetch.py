"""Model files from the Hugging Face hub, for models that no package carries."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download


def from_hub(repository: str) -> Path:
    """Folder with the model's files: from the operator's cache, else the network (unless HF_HUB_OFFLINE).

    Raises:
        OSError: Neither has them.
    """
    return Path(snapshot_download(repository, allow_patterns=["*.json", "model.safetensors", "1_Pooling/*"]))
