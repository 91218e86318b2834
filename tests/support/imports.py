"""Who imports whom, read from the source."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Imports = Mapping[str, set[str]]
"""Module -> dotted names that it imports, those of other libraries included."""


def imports_of(
    root: Path, packages: Iterable[str], run_time_only: bool = False
) -> dict[str, set[str]]:
    """The imports of every module in `packages`, folders of `root`, from anywhere in its file.

    `from a.b import c` imports `a.b.c` where that is a module of the project, else `a.b`.

    Args:
        run_time_only: leaves out imports under TYPE_CHECKING, which never run, and places that a
            registry names in a string (`lazily("a.b:C")`), which its entries may import in turn.
    """
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }
    place = re.compile(rf"({'|'.join(packages)})(\.\w+)*")
    found = {}
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = set(_imported(tree, files.keys(), run_time_only))
        if not run_time_only:
            named |= {match[0] for text in _lazy_places(tree) if (match := place.match(text))}
        found[name] = named
    return found


def _imported(node: ast.AST, modules: Iterable[str], run_time_only: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module, "relative imports are not used here"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in modules else node.module
    elif run_time_only and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _imported(child, modules, run_time_only)


def _lazy_places(tree: ast.AST) -> Iterator[str]:
    """First arguments of `lazily`; of an f-string, what stands before its first field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazily":
            argument = node.args[0]
            if isinstance(argument, ast.JoinedStr):
                argument = argument.values[0]
            assert isinstance(argument, ast.Constant), "lazily takes a literal"
            yield argument.value


def within(name: str, prefixes: Iterable[str]) -> bool:
    """Whether the dotted `name` is one of `prefixes` or lies below one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def violations(
    imports: Imports, package: str, allowed: Iterable[str], project: Iterable[str]
) -> list[str]:
    """What `package` imports of the `project` that is neither its own nor `allowed`."""
    return sorted(
        f"{module} imports {name}"
        for module, names in imports.items()
        if within(module, [package])
        for name in names
        if within(name, project) and not within(name, [package, *allowed])
    )


def cycle(graph: Imports) -> list[str]:
    """A cycle of `graph`, its first node repeated at the end; empty where there is none."""
    sorter = TopologicalSorter({node: targets - {node} for node, targets in graph.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def folded(imports: Imports, nodes: Iterable[str]) -> dict[str, set[str]]:
    """The import graph between `nodes`; each stands for itself and all modules below it."""
    nodes = list(nodes)
    return {
        node: {
            other
            for module, names in imports.items()
            if within(module, [node])
            for other in nodes
            if any(within(name, [other]) for name in names)
        }
        for node in nodes
    }
