"""What the package brings to a folder without the repository: default parameters and the grids.

In the repository both are links to the files at its top; an installed package has the files.
"""

from pathlib import Path

from cache.errors import nearest
from stages.section import ConfigError

HERE = Path(__file__).parent
PARAMS = HERE / "params.yaml"
GRIDS = {path.stem: path for path in sorted((HERE / "grids").glob("*.yaml"))}


def grid(source: Path) -> Path:
    """A file, or the package's own grid: `table2` or `grids/table2.yaml`, where no such file is.

    Raises:
        ConfigError: it is neither.
    """
    if source.exists():
        return source
    named = source.name.removesuffix(".yaml")
    if source.parent in (Path(), Path("grids")) and named in GRIDS:
        return GRIDS[named]
    raise ConfigError(
        f"{source}: no such grid{nearest(named, list(GRIDS))}",
        f"name a file, or one of the package's own: {', '.join(GRIDS)}",
    )
