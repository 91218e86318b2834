"""How much of an input is read: every limit, and why it stands where it does.

Each lies far above what the published data sets and the tests of full size hold, and low enough
that what passes it costs seconds and no more memory than a common machine has. `docs/data.md` has
the same table, and says what happens beyond a limit. Limits of settings are in their own fields.
"""

from cache.strict_yaml import MOST_CHARACTERS, MOST_LEVELS, MOST_NODES

FILE_BYTES = 8 * 2**30
"""Of a source's file that is read as a whole (JSON, CSV); records take several times as much."""
LINE_BYTES = 128 * 2**20
"""Of JSON Lines: a longer line is most likely a file without line ends."""
RECORDS = 20_000_000
"""Of a file: three times the articles of the English Wikipedia; rows are 32-bit numbers."""

NAME_CHARACTERS = 100_000
"""Of an entity's name and a mention's words: each of their n-grams may be a term of its own."""
TEXT_CHARACTERS = 1_000_000
"""Of a description or a sentence: a thick book; encoders read 8,192 tokens at most."""
ID_CHARACTERS = 10_000
"""Of an id, which messages, tables and the report repeat; four times the longest usual URL."""
KIND_CHARACTERS = 200
"""Of an `image_kind`, which is a row's name in tables and figures."""
KINDS = 100
"""Distinct `image_kind`s of a data set: each has rows and bars of its own."""
PATH_CHARACTERS = 4096
"""Of a picture's path: Linux opens no longer one."""
PICTURES = 1000
"""Of an entity, of which the first one that decodes is encoded and all are kept."""
ALIASES = 1000
"""Of an entity: twice as many as any of Wikidata's has; each is a row of n-grams of its own."""
PRIOR_COUNT = 10**15
"""Of an entity's count: a float holds every whole number up to nine times of it."""

PICTURE_BYTES = 256 * 2**20
"""Of a picture's file: it is held in memory as a whole."""
PICTURE_PIXELS = 89_478_485
"""Decoded; Pillow's own limit warns at this size and raises at twice of it."""
PICTURE_SIDE = 65_535
"""Pixels, JPEG's own limit: resizing takes memory by the side, whatever the other one is."""

ARCHIVE_BYTES = 2**30
"""Of a zip file."""
ARCHIVE_MEMBERS = 1000
"""Of a zip file, of which one is read; the list of all is held in memory."""
UNPACKED_BYTES = 4 * 2**30
"""Of the JSON in a zip file: a hundred times MELBench's largest."""
UNPACKED_RATIO = 100
"""Unpacked bytes by packed ones, from UNPACKED_FREE on: text shrinks to a tenth, a bomb to a
thousandth."""
UNPACKED_FREE = 64 * 2**20
"""Bytes up to which a zip's member may unpack from however few."""

GRID_RUNS = 10_000
"""Runs by seeds of a grid, counted before they are built: a year of trainings of an hour."""

JSON_DIGITS = 4300
"""Of an integer in a source: Python reads no longer one unless it is told to."""
JSON_LEVELS = 1000
"""Of lists and objects in one another, about: Python's own limit, less what calls the reader."""
YAML_CHARACTERS, YAML_LEVELS, YAML_VALUES = MOST_CHARACTERS, MOST_LEVELS, MOST_NODES
"""Of a parameter file or a grid, with each alias counted as what it stands for."""
