"""An error that extraction raises, and that who holds the key cache must know."""

from cache.errors import MelovError


class ChangedPictureError(MelovError):
    """A picture's file is not the one that `prepare` saw."""
