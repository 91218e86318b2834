"""A rate over several seeds."""

from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit


@dataclass(frozen=True)
class Rate:
    """One rate of one variant, a value a seed, in percent."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None of a single seed."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean by Student's t over the seeds; None below three of them."""
        n = len(self.values)
        if n < 3:
            return None
        half = float(stdtrit(n - 1, 0.975)) * stdev(self.values) / n**0.5
        return self.mean - half, self.mean + half

    def __str__(self) -> str:
        mean = f"{self.mean:.2f}"
        return mean if self.std is None else f"{mean} ± {self.std:.2f}"
