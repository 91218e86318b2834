"""Parts of a whole that several processes take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Part `number` of `of`, counted from 0."""

    number: int = 0
    of: int = 1

    def of_n(self, n: int) -> slice:
        """This part of n things in a row; parts differ by one at most, and are all of it once."""
        return slice(n * self.number // self.of, n * (self.number + 1) // self.of)


WHOLE = Share()
