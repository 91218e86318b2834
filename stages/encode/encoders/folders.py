"""Which local folders an extraction's encoders are in: where DVC looks for changes.

encoders/text    a link to the folder of the text encoder; else a file with the encoder's name
encoders/image   the same of the image encoder
encoders/further/names.json, and a folder NAME for each further encoder in a local folder, with a
                 link to every file in there

DVC hashes a folder through a link, so that other weights in it make extraction stale. Of an output
that is a folder itself it follows links to files alone.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from cache.files import atomic_path, remove_leftovers, replacing_folder, temporary_name

NO_FOLDER = ("same", "none")
"""What `extract.image_encoder` may be besides a name; a folder of that name is not meant."""


def point_to_further(
    place: Path, encoders: Mapping[str, tuple[str, str | None]], root: Path
) -> str:
    """Make `place` a folder of links to the files of further encoders.

    Args:
        encoders: by name, the folder relative to `root` or the hub name, and a revision.

    Returns:
        the names, for people.
    """
    with replacing_folder(place) as scratch:
        (scratch / "names.json").write_text(json.dumps(encoders, indent=1) + "\n", "utf-8")
        for name, (encoder, _) in encoders.items():
            folder = root / encoder
            for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                if path.is_file():
                    link = scratch / name / path.relative_to(folder)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(_as_linked(path, place / link.relative_to(scratch), root))
    return ", ".join(encoders) or "none"


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
    target = _as_linked(folder, place, root)
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(place.parent, place.name)
    fresh = place.parent / temporary_name(place.name)
    fresh.symlink_to(target)
    fresh.replace(place)
    return f"{folder} (a folder)"


def _as_linked(target: Path, link: Path, root: Path) -> Path:
    """What a link at `link` holds."""
    there, here, project = target.resolve(), link.parent.resolve(), root.resolve()
    if there.is_relative_to(project) and here.is_relative_to(project):
        return Path(os.path.relpath(there, here))
    return there
