"""The embedder's file is made without torch, and what cannot be made without it says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.embedding.models import find
from tests.support.console import environment_in

# What is None there cannot be imported.
MAKE = """
import sys
sys.modules |= dict.fromkeys(["torch", "transformers", "sentence_transformers", "safetensors"])
from backend.embedding.onnx_file import main
sys.exit(main())
"""


def make(folder: Path, target: Path, precision: str = "int8") -> subprocess.CompletedProcess[str]:
    order = {
        "source": str(folder),
        "sha256": "",
        "target": str(target),
        "pooling": "mean",
        "precision": precision,
    }
    return subprocess.run(
        [sys.executable, "-c", MAKE, json.dumps(order)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the default model's small files, with its weights."""
    packaged = find("all-MiniLM-L6-v2", "int8").source
    assert packaged is not None
    (tmp_path / "model").mkdir()
    shutil.copy(packaged / "config.json", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").symlink_to(packaged / "model.safetensors")
    return tmp_path / "model"


def change(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_file_is_made(folder: Path, tmp_path: Path) -> None:
    done = make(folder, tmp_path / "made.onnx")
    assert done.returncode == 0, done.stderr
    assert 20e6 < (tmp_path / "made.onnx").stat().st_size < 25e6


def test_another_kind_of_model_names_the_extra(folder: Path, tmp_path: Path) -> None:
    change(folder, model_type="mpnet")
    done = make(folder, tmp_path / "made.onnx")
    assert done.returncode == 3
    assert "mpnet" in done.stdout
    assert "libriassist[torch]" in done.stdout


@pytest.mark.parametrize("wrong", [{"num_hidden_layers": 7}, {"num_attention_heads": 5}, {"hidden_size": 96}])
def test_files_that_do_not_fit_together_are_refused(
    wrong: dict[str, int], folder: Path, tmp_path: Path
) -> None:
    change(folder, **wrong)
    done = make(folder, tmp_path / "made.onnx")
    assert done.returncode == 3, done.stderr
    assert "embedding model" in done.stdout


def test_who_asks_for_torch_is_told_to_install_it(tmp_path: Path, models_dir: Path) -> None:
    environment = environment_in(tmp_path / "data", models_dir, LIBRI_EMBEDDING__RUNTIME="torch")
    script = MAKE.replace("embedding.onnx_file", "__main__").replace("main()", "main(['reindex'])")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "libriassist: LIBRI_EMBEDDING__RUNTIME=torch needs torch: install libriassist[torch], or write onnx\n"
    )
