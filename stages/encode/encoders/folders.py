"""Which local folders an extraction's encoders are in: where DVC looks for changes.

encoders/text    a link to the folder of the text encoder; else a file with the encoder's name
encoders/image   the same of the image encoder

DVC hashes a folder through a link, so that other weights in it make extraction stale.
"""

import os
from pathlib import Path

from cache.files import atomic_path, remove_leftovers, temporary_name

NO_FOLDER = ("same", "none")
"""What `extract.image_encoder` may be besides a name; a folder of that name is not meant."""


def point_to_encoder(place: Path, name: str, root: Path, revision: str | None = None) -> str:
    """Make `place` a link to the local folder `name`, or a file with the name.

    A link is relative where the folder lies in the project, so that the project can be moved.

    Args:
        name: as in the parameters: a folder relative to `root`, a hub name, `same` or `none`.
        revision: of a hub name.

    Returns:
        what `place` holds now, for people.
    """
    folder = root / name
    if name in NO_FOLDER or not folder.is_dir():
        text = name if revision is None else f"{name} at {revision}"
        with atomic_path(place) as fresh:
            fresh.write_text(f"{text}\n", encoding="utf-8")
        return text
    target, here, project = folder.resolve(), place.parent.resolve(), root.resolve()
    if target.is_relative_to(project) and here.is_relative_to(project):
        target = Path(os.path.relpath(target, here))
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(place.parent, place.name)
    fresh = place.parent / temporary_name(place.name)
    fresh.symlink_to(target)
    fresh.replace(place)
    return f"{folder} (a folder)"
