"""The commands: modules of `pipeline` with a `main`."""

from pathlib import Path

COMMANDS = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "pipeline").glob("*.py")
    if path.stem not in ("__init__", "__main__", "cli", "ending")
)
