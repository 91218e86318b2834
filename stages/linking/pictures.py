"""Pictures of new mentions, as extraction reads those of records."""

import hashlib
from pathlib import Path

from cache.errors import MelovError
from stages.config import ExtractConfig
from stages.datasets.decoding.picture import PictureError, read_bytes
from stages.encode.decode import Loaded, decode_picture
from stages.encode.encoders.encoder import Pixels


def load_picture(
    image: Path | bytes, pixels: Pixels, config: ExtractConfig
) -> tuple[bytes, Loaded]:
    """The hash of the file's bytes, and its pixels or the reason why there are none."""
    try:
        data = image if isinstance(image, bytes) else read_bytes(image)
    except PictureError as error:
        return b"", Loaded(None, str(error))
    except MelovError as error:
        return b"", Loaded(None, error.message.removeprefix(f"{name_of(image)}: "))
    digest = hashlib.blake2b(data, digest_size=16).digest()
    return digest, decode_picture(data, pixels, config.resize, config.exif)


def name_of(image: Path | bytes) -> str:
    """As a message names a picture."""
    return "the picture" if isinstance(image, bytes) else str(image)
