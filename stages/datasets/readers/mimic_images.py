"""From a mention's `imgPath` to a file of the MIMIC release.

All pictures of mentions were converted to .jpg, and their base names cut at the first dot; so names
with more dots are truncated, can collide, and are not always the names in the archive."""

from pathlib import Path

from stages.datasets.findings import Findings
from stages.datasets.names import Names
from stages.unicode import canonical

FOLDERS = ("mention_images", "mention_image")
"""The archive's name, then the name in the peers' configurations."""
RULES = (
    ("first-dot", "cut at the first dot + .jpg"),
    ("last-dot", "cut at the last dot + .jpg"),
    ("as-it-stands", "as it stands"),
)


def candidates(name: str) -> tuple[str, str, str]:
    """File names that a base name can lead to, in the order of RULES."""
    last = name.rpartition(".")[0] if "." in name else name  # rpartition without a dot: ""
    return f"{name.partition('.')[0]}.jpg", f"{last}.jpg", name


class MentionImages:
    """Finds mention images; counts which rule applied, what is missing and what collides."""

    def __init__(self, root: Path, findings: Findings) -> None:
        self._findings = findings
        listed = {name: names for name in FOLDERS if (names := Names.of(root / name)) is not None}
        if not listed:
            what = "folders of mention images that are not there (text only)"
            findings.add("mention-image-folder-missing", what, f"neither {' nor '.join(FOLDERS)}")
        if len(listed) > 1:
            what = "times that both folders of mention images exist; the fuller one is read"
            sizes = ", ".join(f"{name}: {len(names)} files" for name, names in listed.items())
            findings.add("mention-image-two-folders", what, sizes)
        self._folder = max(listed, key=lambda name: len(listed[name]), default=FOLDERS[0])
        self._names = listed.get(self._folder, Names())
        self._led_here: dict[str, dict[str, None]] = {}

    def path(self, image_path: str, where: str) -> str | None:
        """Path below the root, or None if `image_path` is blank.

        A missing file gets the first rule's name, so that the row exists and says what is missing.
        """
        name = image_path.strip().rpartition("/")[2]
        if not name:
            what = "mentions with a blank imgPath, so without a picture"
            self._findings.add("mention-image-blank", what, where)
            return None
        names = candidates(name)
        for (rule, words), candidate in zip(RULES, names, strict=True):
            spelled = self._names.find(candidate)
            if spelled is not None:
                if candidate != names[0]:
                    what = f"mention images found under their name {words}"
                    self._findings.add(f"mention-image-{rule}", what, f"{where}: {candidate}")
                self._led_here.setdefault(spelled, {})[canonical(name)] = None
                return f"{self._folder}/{candidate}"
        what = f"mentions whose picture is not in {self._folder}/"
        self._findings.add("mention-image-missing", what, f"{where}: {name}")
        return f"{self._folder}/{names[0]}"

    def count_collisions(self) -> None:
        """Files that two different base names lead to; call it after the last mention."""
        for candidate, names in self._led_here.items():
            if len(names) > 1:
                what = "picture files that different image names lead to"
                example = f"{self._folder}/{candidate}: {', '.join(list(names)[:3])}"
                self._findings.add("mention-image-collision", what, example)
