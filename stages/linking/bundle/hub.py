"""Names of the hub: a bundle's folder, and the very commit of an encoder."""

from __future__ import annotations

import re
from pathlib import Path

from cache.errors import MelovError
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError

NAME = re.compile(r"[\w.-]+/[\w.-]+")


def bundle_folder(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a bundle, downloaded where `source` is a name of the hub.

    Args:
        source: a folder, or a name such as `org/name`.
        revision: of the hub: a branch, a tag or a commit.

    Raises:
        MelovError: no such folder and no such name, or no network; a revision of a folder.
    """
    folder = Path(source)
    if folder.is_dir():
        if revision is not None:
            raise MelovError(
                f"{source}: a folder has no revision",
                "leave revision out, or name the hub's bundle",
            )
        return folder.absolute()
    if isinstance(source, Path) or not NAME.fullmatch(source):
        raise MelovError(
            f"{source}: no such folder, nor a name of the hub",
            "name a folder that python -m pipeline.bundle wrote, or such as org/name",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        at = "" if revision is None else f" at {revision}"
        raise MelovError(
            f"{source}{at}: neither a folder nor to be had from the hub: {first:.300}",
            "download it where there is a network, and name its folder",
        ) from None


def pinned(name: str, revision: str | None, hash: object) -> str | None:
    """The commit of an encoder in the hub's cache, where its files have the hash; else `revision`,
    since nobody knows the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        return folder.name if Checkpoint(name, folder).identity() == hash else revision
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError, CheckpointError):
        return revision
