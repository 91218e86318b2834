"""What a registry names before it is imported, so that a check of a name loads no torch."""

import pkgutil
from collections.abc import Callable
from typing import Any


def lazily(place: str) -> Callable[..., Any]:
    """Calls what stands at `place`, such as `package.module:Name`; imports it at the first call."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return pkgutil.resolve_name(place)(*args, **kwargs)

    return call
