"""What `nearness.json` holds as text: a table a measure, a row a kind of picture."""

from typing import Any

TITLES = {
    "cosine": "centred cosine with the clean picture's feature",
    "nearer": "share nearer to it than to another entity's clean picture",
    "nearer_of_kind": "the same, against entities of the same kind",
}


def as_text(found: dict[str, Any]) -> str:
    """Tables of `nearness`; `another` is a random other mention's clean picture, the yardstick, and
    `another_of_kind` one of the same kind of entity."""
    kinds = found["kinds"]
    tables = [
        _table(
            title,
            {
                kind: (values["mentions"], {n: f[measure] for n, f in values["features"].items()})
                for kind, values in kinds.items()
            },
        )
        for measure, title in TITLES.items()
    ]
    if kinds["all"]["weights"]:
        rows = {kind: (values["mentions"], values["weights"]) for kind, values in kinds.items()}
        tables.append(_table("mean fusion weight of the global feature", rows))
    return "\n".join(tables)


def _table(title: str, rows: dict[str, tuple[int, dict[str, float | None]]]) -> str:
    names = list(next(iter(rows.values()))[1])
    widths = [max(10, len(name)) for name in names]
    heads = [f"  {name:>{width}}" for name, width in zip(names, widths, strict=True)]
    lines = [title, f"{'kind':<13}  {'mentions':>8}" + "".join(heads)]
    for kind, (mentions, values) in rows.items():
        cells = ["" if values[name] is None else f"{values[name]:.3f}" for name in names]
        cells = [f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
        lines.append(f"{kind:<13}  {mentions:>8}" + "".join(cells))
    return "".join(line.rstrip() + "\n" for line in lines)
