"""The clean picture of a demo mention: its own picture as it was before it was spoilt.

Only `low_quality` has such a picture. Every other kind gets a new snapshot of the mention's entity:
its own picture shows nobody or somebody else, or is good, and comparing a good picture with itself
would say nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from cache.errors import MelovError
from stages.config import DemoConfig
from stages.datasets.records import Records
from stages.demo.world.leaks import all_mentions
from stages.demo.world.mentions import Drawn
from stages.demo.world.pictures import as_jpeg, snapshot
from stages.demo.world.world import Entity

_FILE_OF = {"train": "train", "valid": "dev", "test": "test"}
"""Names of the records' splits in the demo's files."""


@dataclass(frozen=True)
class CleanPicture:
    """The entity that a mention means, and a JPEG file that shows it."""

    entity: Entity
    data: bytes


def clean_pictures(records: Records, split: str, config: DemoConfig) -> Iterator[CleanPicture]:
    """One clean picture a mention of `train`, `valid` or `test`, in the order of the records.

    A record's id ends in its place in the source's file, and that numbers the drawn mentions; nil
    mentions have no record. Answer, sentence and kind of picture must agree too.

    Raises:
        MelovError: the records are not the demo's, or not of the demo that `config` draws; at once,
            not when the first picture is taken.
    """
    name = _FILE_OF[split]
    drawn = {f"{split}-{m.number}": m for m in all_mentions(config)[name]}
    matched = []
    for row in records.mentions[split].to_pylist():
        mention = drawn.get(row["id"])
        said = (row["answer"], row["sentence"], row["image_kind"])
        if mention is None or said != (mention.entity.qid, mention.sentence, mention.image_kind):
            raise MelovError(
                f"data set '{records.dataset}': mention {row['id']} is not the embedded demo's "
                f"({config.entities} entities, {config.mentions} mentions, seed {config.seed}): "
                "clean pictures are known for the demo alone",
                "what the demo was drawn with is set by --set demo.KEY=VALUE",
            )
        matched.append(mention)
    return (CleanPicture(m.entity, _draw(m, name, config)) for m in matched)


def _draw(mention: Drawn, split: str, config: DemoConfig) -> bytes:
    random = mention.random  # of a low-quality picture: its first draws are those of the clean one
    if mention.image_kind != "low_quality":
        random = Random(f"{config.seed}/clean/{split}/{mention.number}")
    return as_jpeg(snapshot(mention.entity.kind, mention.look, random))
