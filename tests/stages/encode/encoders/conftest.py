import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

Copy = Callable[..., Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """copy(folder, "config.json", **changed) -> a copy whose JSON file says otherwise.

    A key `text_config__hidden_size` is the tower's own; a value of `...` removes the key.
    """

    def copied(folder: Path, name: str = "config.json", /, **changed: Any) -> Path:
        made = tmp_path / folder.name
        if not made.exists():
            shutil.copytree(folder, made)
        path = made / name
        path.parent.mkdir(exist_ok=True)
        said = json.loads(path.read_text()) if path.exists() else {}
        for key, value in changed.items():
            *towers, leaf = key.split("__")
            place = said
            for tower in towers:
                place = place.setdefault(tower, {})
            if value is ...:
                place.pop(leaf, None)
            else:
                place[leaf] = value
        path.write_text(json.dumps(said))
        return made

    return copied


@pytest.fixture
def with_weights(copy: Copy) -> Callable[..., Path]:
    """with_weights(folder, change) -> a copy with changed weights.

    `change` gets them by name, and changes them in place or returns others.
    """

    def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
        made = copy(folder)
        weights = load_file(made / "model.safetensors")
        other = change(weights)
        save_file(other if isinstance(other, dict) else weights, made / "model.safetensors")
        return made

    return changed
