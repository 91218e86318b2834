"""The twelve kinds of entity: how the knowledge base, a sentence and a caption speak of each.

The knowledge base says `label`. Sentences say `acts` and `roles`, other words for the same thing.
Captions use all of them, as the web does; that is how an encoder can come to know that they mean
one thing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind.

    Parameters
    ----------
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
    titles: tuple[str, ...]
    nouns: tuple[str, ...]
    setting: tuple[str, ...]
    roles: tuple[str, ...]
    acts: tuple[str, ...]
    works: tuple[str, ...]

    @property
    def is_person(self) -> bool:
        return self.form == "person"


_PERSON = ("{given} {}",)

KINDS: tuple[Kind, ...] = (
    Kind(
        "footballer",
        "person",
        _PERSON,
        ("footballer", "striker", "midfielder", "soccer player"),
        ("on the pitch", "in front of the goal", "on the grass"),
        ("the striker", "our left winger", "the team captain", "the midfielder"),
        (
            "scored twice before the whistle",
            "missed the penalty",
            "limped off the pitch",
            "signed for another club",
            "headed in the equaliser",
            "dribbled past two defenders",
        ),
        ("free kicks", "a cup final goal", "long passes", "a record transfer", "tough tackles"),
    ),
    Kind(
        "painter",
        "person",
        _PERSON,
        ("painter", "artist", "portraitist", "watercolourist"),
        ("in a studio", "beside an easel", "among canvases"),
        (
            "the portraitist",
            "that artist with the easel",
            "the old watercolourist",
            "the one with the brushes",
        ),
        (
            "finished another canvas",
            "mixed the oils for hours",
            "hung the new portraits",
            "opened the studio to visitors",
            "left wet brushes everywhere",
            "sketched the bridge",
        ),
        ("river landscapes", "large murals", "still lifes", "portraits of farmers", "icons"),
    ),
    Kind(
        "singer",
        "person",
        _PERSON,
        ("singer", "vocalist", "pop star", "soprano"),
        ("on stage", "at the microphone", "under spotlights"),
        ("the vocalist", "the voice of the year", "the soprano", "everyone's favourite pop star"),
        (
            "hit the high note",
            "sang the encore twice",
            "forgot the second verse",
            "dropped a new single",
            "held the microphone to the crowd",
            "toured with a small band",
        ),
        ("a platinum album", "torch songs", "a folk ballad", "duets", "a jazz record"),
    ),
    Kind(
        "politician",
        "person",
        _PERSON,
        ("politician", "senator", "minister", "mayor"),
        ("behind a lectern", "in parliament", "in front of columns"),
        ("the senator", "the former minister", "the mayor", "the opposition leader"),
        (
            "lost the vote by a hair",
            "promised lower taxes",
            "debated the new bill",
            "resigned from the cabinet",
            "campaigned door to door",
            "gave a speech at the lectern",
        ),
        ("a tax reform", "a coalition treaty", "school laws", "a failed referendum", "rail plans"),
    ),
    Kind(
        "chef",
        "person",
        _PERSON,
        ("chef", "cook", "pastry maker", "restaurateur"),
        ("in a kitchen", "by the stove", "near the pans"),
        ("the cook", "the restaurateur", "that pastry maker", "the boss of the kitchen"),
        (
            "burned the sauce",
            "won another star for the menu",
            "served seven courses",
            "tasted every soup",
            "shared the dough recipe",
            "seasoned the fish perfectly",
        ),
        ("sourdough", "a seafood restaurant", "cold soups", "a cookery book", "desserts"),
    ),
    Kind(
        "harbour town",
        "town",
        ("Port {}", "{}-on-Sea", "{} Haven", "Old {}", "{} Quay"),
        ("harbour town", "port", "fishing village", "seaside town"),
        ("by the quay", "along the waterfront", "at the docks"),
        ("the fishing village", "our seaside getaway", "the old port", "the place by the docks"),
        (
            "smelled of nets and herring",
            "rebuilt its waterfront",
            "filled with fishing boats",
            "closed the quay after the flood",
            "sold fresh mussels at the docks",
            "painted all its seaside houses",
        ),
        ("a herring market", "wooden houses", "a medieval quay", "shipyards", "a lighthouse"),
    ),
    Kind(
        "mountain",
        "mountain",
        ("Mount {}", "{} Peak", "{}horn", "Pico {}", "{} Ridge"),
        ("mountain", "peak", "summit", "alpine giant"),
        ("under an alpine sky", "above the valley", "in the snow"),
        ("the summit", "that alpine giant", "the highest of the three peaks", "the north face"),
        (
            "was wrapped in cloud above the tree line",
            "cost the climbers two nights",
            "lost its glacier",
            "shook off an avalanche",
            "rose over the valley huts",
            "tired our hiking boots out",
        ),
        ("a north wall", "a first ascent in winter", "glaciers", "an old hut", "ski slopes"),
    ),
    Kind(
        "island",
        "island",
        ("{} Island", "Isle of {}", "{} Atoll", "Great {}", "Little {}"),
        ("island", "isle", "atoll", "tropical islet"),
        ("in the ocean", "among coral reefs", "under palms"),
        ("the little isle", "that atoll", "the islet with the palms", "our tropical hideaway"),
        (
            "could be reached by the weekly ferry",
            "kept its white beaches empty",
            "lost its palms in the storm",
            "welcomed the snorkellers",
            "sat alone in the lagoon",
            "protected its coral reefs",
        ),
        ("sea turtles", "a coral reef", "a prison museum", "coconuts", "a weather station"),
    ),
    Kind(
        "stadium",
        "stadium",
        ("{} Arena", "{} Stadium", "{} Bowl", "{} Ground", "The {} Dome"),
        ("stadium", "arena", "sports ground", "venue"),
        ("under floodlights", "beside the car park", "on match day"),
        ("the arena", "the sports ground", "that concrete bowl", "the home ground"),
        (
            "sold out all its stands",
            "switched the floodlights on",
            "got a new roof",
            "opened its turnstiles late",
            "echoed with forty thousand seats",
            "replaced its turf",
        ),
        ("a retractable roof", "athletics", "two cup finals", "steep stands", "a steel facade"),
    ),
    Kind(
        "ship",
        "ship",
        ("MS {}", "SS {}", "RV {}", "The {} II", "{} Star"),
        ("ship", "steamer", "vessel", "liner"),
        ("at sea", "on the waves", "leaving the pier"),
        ("the old steamer", "the vessel", "that liner", "the proud hull"),
        (
            "dropped anchor at dawn",
            "lost a propeller",
            "sailed with half its crew",
            "ran aground on a sandbank",
            "carried two hundred passengers in its cabins",
            "blew its horn and steamed off",
        ),
        ("an Arctic voyage", "a collision", "mail service", "emigrant crossings", "cable laying"),
    ),
    Kind(
        "brewery",
        "bottle",
        ("{} Brewing", "Brauhaus {}", "{} & Daughters", "{} Ale", "Cask {}"),
        ("brewery", "beer brand", "craft ale", "lager label"),
        ("in a pub", "on the bar", "next to barrels"),
        ("the craft ale people", "that lager label", "the beer makers", "the old taproom"),
        (
            "bottled a darker stout",
            "ran out of hops",
            "tapped the first barrel",
            "poured free pints",
            "changed the malt again",
            "sold lager by the crate",
        ),
        ("wheat beer", "a monks' recipe", "smoked malt", "export lager", "cellar tours"),
    ),
    Kind(
        "fashion label",
        "bag",
        ("{} Couture", "Maison {}", "{} & Co", "House of {}", "{} Studio"),
        ("fashion label", "designer brand", "handbag maker", "couture house"),
        ("in a boutique", "in a shop window", "on a catwalk"),
        ("the handbag maker", "the couture house", "the designer brand", "my favourite boutique"),
        (
            "launched a leather line",
            "showed the spring collection",
            "sold out of handbags",
            "dressed the catwalk in silk",
            "opened a second boutique",
            "stitched its logo on scarves",
        ),
        ("silk scarves", "riding boots", "leather bags", "a perfume", "winter coats"),
    ),
)

# What anyone or anything may do, so that the sentence says nothing about the kind.
VAGUE_ACTS = (
    "was all that people talked about",
    "surprised everybody again",
    "drew a long queue",
    "ended up in the local paper",
    "looked better than ever",
    "turned out smaller than I thought",
)
VAGUE_ROLES = ("as always", "of all names", "our old favourite", "believe it or not")
