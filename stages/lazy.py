"""What a registry names before it is imported, so that a check of a name loads no torch."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from cache.errors import MelovError


def lazily(place: str) -> Callable[..., Any]:
    """Calls what stands at `place`, such as `package.module:Name`; imports it at the first call."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return pkgutil.resolve_name(place)(*args, **kwargs)

    return call


def require(module: str, extra: str, use: str) -> Any:
    """A module of an optional dependency.

    Args:
        extra: the extra that brings it; use: what needs it.

    Raises:
        MelovError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise MelovError(
            f"{use} needs {module}, which is not installed", f"pip install 'melov-cache[{extra}]'"
        ) from None
