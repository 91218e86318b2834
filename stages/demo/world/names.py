"""Names of the demo's entities: surface names that several entities share, and full titles."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

_ONSETS = (
    "Kel", "Mar", "Tol", "Bren", "Hal", "Vas", "Lin", "Ost", "Dun", "Fer", "Gar", "Hol", "Ing",
    "Jar", "Kov", "Lor", "Mel", "Nor", "Oak", "Pal", "Quin", "Ros", "Sand", "Tarn", "Ul", "Ver",
    "Wil", "Yar", "Zel", "Ash", "Bor", "Cal",
)  # fmt: skip
_ENDINGS = (
    "ler", "wick", "stad", "brook", "mann", "ton", "ova", "sen", "field", "ini", "ard", "moor",
    "berg", "ley", "dal", "ez", "ault", "mark", "rin", "ske",
)  # fmt: skip
_GIVEN = (
    "Marta", "Jonas", "Elin", "Tomas", "Ines", "Pavel", "Greta", "Omar", "Lucia", "Anders", "Noor",
    "Felix", "Ada", "Bruno", "Clara", "Dario", "Edith", "Farid", "Gina", "Hugo", "Irma", "Janek",
    "Kaya", "Leon", "Mira", "Nils", "Olga", "Piet", "Rhea", "Sami", "Tilda", "Ugo", "Vera", "Wim",
    "Xenia", "Yusuf", "Zora", "Aldo", "Bea", "Cyril", "Dora", "Emil",
)  # fmt: skip

# Names that need percent-encoding beyond spaces: accents, and other scripts with their own given
# names.
_ACCENTED = ("Müller", "Sørensen", "Núñez", "Łukasz", "Çelik", "D'Aubigné")
_SCRIPTS: dict[str, tuple[str, ...]] = {
    "Орлов": ("Иван", "Олег", "Пётр", "Юрий", "Борис", "Глеб"),
    "Παπάς": ("Νίκος", "Ελένη", "Γιάννης", "Σοφία", "Πέτρος", "Άννα"),
    "田中": ("太郎", "花子", "健一", "美咲", "直樹", "由美"),
    "حداد": ("سامي", "ليلى", "عمر", "نادية", "كريم", "هدى"),
}


def surfaces(random: Random) -> Iterator[str]:
    """Endless distinct surface names; every script occurs among the first few.

    Double-barrelled names follow once the single ones are used up, so no size of knowledge base
    is too large.
    """
    plain = [onset + ending for onset in _ONSETS for ending in _ENDINGS]
    random.shuffle(plain)
    special = [*_SCRIPTS, *_ACCENTED]
    random.shuffle(special)
    # Every third name is such a one, so that even a knowledge base of 50 entities has a few.
    while special:
        yield special.pop()
        yield plain.pop()
        yield plain.pop()
    yield from plain
    for first in plain:
        for second in plain:
            if first != second:
                yield f"{first}-{second}"


def given_names(surface: str, random: Random) -> Iterator[str]:
    """Given names for `surface` in random order, in its own script; initials follow them."""
    pool = list(_SCRIPTS.get(surface, _GIVEN))
    random.shuffle(pool)
    yield from pool
    for first in pool:
        for second in pool:
            if first != second:
                yield f"{first} {second[0]}."


def unknown_name(random: Random) -> str:
    """A name for a `nil` mention, which no entity bears."""
    return random.choice(_ONSETS) + "x" + random.choice(_ENDINGS) + "is"
