"""The words and colours of the embedded data set: words.yaml, checked, in its order."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from stages.section import Section, read_mapping, validated

Colour = tuple[int, int, int]
Colours = dict[str, Colour]
Texts = Annotated[tuple[str, ...], Field(min_length=1)]

FILE = Path(__file__).with_name("words.yaml")


class Kind(Section):
    """One kind of entity.

    Args:
        label: the word of the knowledge base; the scene of its pictures has the same name.
        form: what `subjects.draw_subject` draws.
        titles: patterns of full titles with `{}` for the surface name; `{given}` marks persons.
        nouns: captions' words for it.
        setting: where captions say that it is.
        roles: noun phrases of sentences, no label among them.
        acts: verb phrases of sentences, past tense.
        works: what the knowledge base knows it for.
    """

    label: str
    form: str
    titles: Texts
    nouns: Texts
    setting: Texts
    roles: Texts
    acts: Texts
    works: Texts

    @property
    def is_person(self) -> bool:
        return self.form == "person"


class NameWords(Section):
    """Parts of names, whole names with accents, and a script's surface name -> its given names."""

    onsets: Texts
    endings: Texts
    given: Texts
    accented: Texts
    scripts: dict[str, Texts]


class LookWords(Section):
    """Colours by name; pattern and emblem -> the captions' words for it."""

    main_colours: Colours
    second_colours: Colours
    emblem_colours: Colours
    patterns: dict[str, Texts]
    emblems: dict[str, Texts]


class OccasionWords(Section):
    """Cities; event -> its phrase, with {city} and in some {year}."""

    cities: Texts
    events: dict[str, str]


class SentenceWords(Section):
    """What `sentences.mention_sentence` fills its templates with, but for the kind's own words."""

    templates: Texts
    openers: Texts
    elsewhere: Texts
    occasion: Texts
    vague_acts: Texts
    vague_roles: Texts


class CaptionWords(Section):
    """Templates of captions by what the picture shows, and of a look within one."""

    subject: Texts
    look: Texts
    occasion: Texts
    graphic: Texts


class Words(Section):
    """The whole file."""

    names: NameWords
    looks: LookWords
    occasions: OccasionWords
    sentences: SentenceWords
    captions: CaptionWords
    cards: Texts
    countries: Texts
    kinds: tuple[Kind, ...]


def read_words(path: Path) -> Words:
    """The words of `path`.

    Raises:
        ConfigError: no such file; a key is unknown, missing or of the wrong type.
    """
    return validated(Words, read_mapping(path, "table of words"), str(path))


WORDS = read_words(FILE)
