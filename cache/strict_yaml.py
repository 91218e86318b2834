"""YAML in which nothing wins in silence: a repeated key is an error that names both lines."""

from collections.abc import Callable, Hashable
from typing import Any

import yaml

from cache.errors import MelovError
from cache.strict import short

MOST_CHARACTERS = 1_000_000
"""Of a parameter file or a grid: a thousand times the project's own."""
MOST_LEVELS = 32
"""The composer recurses, and so does whatever checks the values."""
MOST_NODES = 100_000
"""With each alias counted as what it stands for: nine aliases of nine, nine times, are a bomb."""
_MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str, where: str, error: Callable[[str], MelovError]) -> Any:
    """The one document of `text`, by YAML's safe tags alone.

    Raises:
        MelovError: it is no such document, repeats a key in a mapping (with both lines), uses a
            merge key, is nested too deeply, is too long, or grows too large by its aliases.
    """
    if len(text) > MOST_CHARACTERS:
        raise error(f"{where}: {len(text):,} characters of YAML, more than {MOST_CHARACTERS:,}")
    loader = None
    try:
        loader = _Strict(text)
        return loader.get_single_data()
    except _RefusedError as problem:
        raise error(f"{where}: {problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as problem:  # ValueError: 2024-13-01
        raise error(f"{where}: not YAML: {problem}") from None
    finally:
        if loader is not None:
            loader.dispose()


class _RefusedError(Exception):
    """Valid YAML that could mean something else than it says."""


class _Strict(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._nodes = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        alias = self.check_event(yaml.AliasEvent)
        self._level += 1
        if self._level > MOST_LEVELS:
            raise _RefusedError(f"line {line}: nested in more than {MOST_LEVELS} levels")
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is not None:
            if alias and node not in self._sizes:
                raise _RefusedError(f"line {line}: an alias of what it stands in")
            self._nodes += self._sizes[node] if alias else 1
            if self._nodes > MOST_NODES:
                raise _RefusedError(
                    f"line {line}: more than {MOST_NODES:,} values, aliases counted"
                )
            if not alias:
                self._sizes[node] = 1 + sum(map(self._sizes.__getitem__, _inside(node)))
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                raise _RefusedError(
                    f"line {line}: merge keys (<<) are not read; write the keys out"
                )
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _RefusedError(f"line {line}: a {type(key).__name__} cannot be a key")
            if key in lines:
                raise _RefusedError(
                    f"duplicate key {short(key)}: in line {lines[key]} and line {line}"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


def _inside(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
