"""What is wrong with an output, for who looks through all of them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """A file that is not what was written, or does not belong to what it is beside.

    Args:
        path: of the file or folder.
        what: is wrong with it.
        mend: the command that mends it.
    """

    path: Path
    what: str
    mend: str
