"""Who imports whom, read from the source: `import` statements anywhere in a file count, also those
within a function or under TYPE_CHECKING."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Imports = Mapping[str, set[str]]
"""Module -> dotted names that it imports, those of other libraries included."""


def imports_of(root: Path, packages: Iterable[str]) -> dict[str, set[str]]:
    """The imports of every module in `packages`, folders of `root`.

    `from a.b import c` is an import of `a.b.c` where that is a module of the project, else of `a.b`.
    """
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }
    return {name: set(_imported(path, files.keys())) for name, path in files.items()}


def _imported(path: Path, modules: Iterable[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules else node.module


def within(name: str, prefixes: Iterable[str]) -> bool:
    """Whether the dotted `name` is one of `prefixes` or lies below one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def outside(imports: Imports, package: str, project: Iterable[str], allowed: Iterable[str]) -> list:
    """`package`'s imports of the `project` that are neither its own nor `allowed`, sorted."""
    allowed = [package, *allowed]
    return sorted(
        f"{module} imports {name}"
        for module, names in imports.items()
        if within(module, [package])
        for name in names
        if within(name, project) and not within(name, allowed)
    )


def cycle(graph: Imports) -> list[str]:
    """A cycle of `graph`, first node repeated at its end; empty where there is none."""
    try:
        TopologicalSorter({node: targets - {node} for node, targets in graph.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def folded(imports: Imports, nodes: Iterable[str]) -> dict[str, set[str]]:
    """The graph between `nodes`, packages or modules, each of which stands for all below it."""
    nodes = list(nodes)
    graph: dict[str, set[str]] = {node: set() for node in nodes}
    for module, names in imports.items():
        for node in nodes:
            if within(module, [node]):
                graph[node] |= {other for other in nodes for name in names if within(name, [other])}
    return graph
