"""Whether two project folders hold the same results: a change of the code that should move none.

    git worktree add ../before COMMIT
    (cd ../before && dvc repro && …)      # the same commands in both
    python -m benchmarks.same_results ../before . --dataset demo

Compared: every byte of raw, records and graph; every feature of the store, text by text and picture
by picture, however its chunks lie; `metrics.json` of every run of BEFORE (a run that AFTER lacks
differs). Exits with 1 and names what differs.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import zarr


def tree(folder: Path) -> dict[str, str]:
    """File by file, a hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def features(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of a store by name, texts' tokens without the rows that no text uses."""
    group = zarr.open_group(folder, mode="r")
    for name, array in sorted(group.members(max_depth=None)):
        if not isinstance(array, zarr.Array) or name in ("texts/offsets", "texts/local"):
            continue
        yield name, array[:]
    offsets, tokens = group["texts/offsets"][:], group["texts/local"][:]
    spans = offsets if offsets.ndim == 2 else np.stack([offsets[:-1], offsets[1:]], axis=1)
    used = np.concatenate([np.arange(lo, hi) for lo, hi in spans.tolist()])
    yield "tokens of each text", np.diff(spans, axis=1)
    yield "texts/local", tokens[used]


def differences(before: Path, after: Path, dataset: str) -> Iterator[str]:
    for part in ("raw", "records", "graph"):
        one, other = (tree(root / "data" / dataset / part) for root in (before, after))
        yield from (f"{part}/{n}" for n in one.keys() | other.keys() if one.get(n) != other.get(n))
        click.echo(f"{part}: {len(one)} files")
    stores = [dict(features(r / "data" / dataset / "features.zarr")) for r in (before, after)]
    for name in stores[0].keys() | stores[1].keys():
        arrays = [store.get(name) for store in stores]
        if any(array is None for array in arrays) or not np.array_equal(*arrays):
            yield f"features.zarr/{name}"
    click.echo(f"features.zarr: {len(stores[0])} arrays")
    runs = sorted((before / "runs" / dataset).glob("*/metrics.json"))
    for path in runs:
        other = after / path.relative_to(before)
        if not other.exists() or json.loads(path.read_text()) != json.loads(other.read_text()):
            yield str(path.relative_to(before))
    click.echo(f"metrics.json: {len(runs)} runs, {', '.join(path.parent.name for path in runs)}")


@click.command(help="Compare the results of two project folders, bit by bit.")
@click.argument("before", type=click.Path(path_type=Path, exists=True))
@click.argument("after", type=click.Path(path_type=Path, exists=True))
@click.option("--dataset", default="demo", show_default=True)
def main(before: Path, after: Path, dataset: str) -> None:
    found = sorted(differences(before, after, dataset))
    for line in found:
        click.echo(f"differs: {line}")
    click.echo("the same" if not found else f"{len(found)} differences")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
