"""From a similarity to the probability that two faces are one person."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import SettingError


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """A calibrated scale of similarity: how many times likelier it is for one person than for two.

    The natural logarithm of that ratio is `offset + slope × similarity`, kept between `low` and `high`. With
    a prior π (the share of pairs that are of one person before anybody looks) the probability follows by
    Bayes: its odds are the ratio times π / (1 - π).

    Attributes:
        slope: Above 0, so that probabilities rise with similarity.
        offset: The log-likelihood ratio at similarity 0.
        low: The least log-likelihood ratio the data can support, below 0: one more pair of one person than
            were seen could have been as unalike.
        high: The greatest, above 0, likewise of pairs of two people (Vergeer et al. 2016, empirical bounds).
        prior: Share of same pairs the map was fitted at.
    """

    slope: float
    offset: float
    low: float
    high: float
    prior: float

    def log_ratio(self, similarity: float) -> float:
        """The natural log-likelihood ratio of a similarity, which knows no prior."""
        return min(max(self.offset + self.slope * similarity, self.low), self.high)

    def probability(self, similarity: float, prior: float | None = None) -> float:
        """The probability of one person.

        Args:
            similarity: In [-1, 1].
            prior: Share of pairs that are of one person where the question is asked; None is the map's own.

        Raises:
            SettingError: The prior is not between 0 and 1.
        """
        logit = self.log_ratio(similarity) + _log_odds(self.prior if prior is None else prior)
        if logit >= 0.0:
            return 1.0 / (1.0 + math.exp(-logit))
        odds = math.exp(logit)
        return odds / (1.0 + odds)

    def probabilities(self, similarities: ArrayLike, prior: float | None = None) -> NDArray[np.float64]:
        """`probability` of many at once, of any shape."""
        scores = np.asarray(similarities, np.float64)
        logits = np.clip(self.offset + self.slope * scores, self.low, self.high)
        logits = logits + _log_odds(self.prior if prior is None else prior)
        return np.asarray(np.exp(-np.logaddexp(0.0, -logits)), np.float64)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> ScoreMap:
        """Read the JSON form.

        Raises:
            KeyError: A field is missing.
            TypeError: It is no mapping, or a field is no number.
            ValueError: The numbers make no map.
        """
        fields = {name: float(data[name]) for name in ("slope", "offset", "low", "high", "prior")}
        found = cls(**fields)
        good = all(map(math.isfinite, fields.values())) and found.slope > 0.0 and 0.0 < found.prior < 1.0
        if not good or not found.low < 0.0 < found.high:
            raise ValueError("the map from similarity to probability makes no sense")
        return found


def _log_odds(prior: float) -> float:
    if not 0.0 < prior < 1.0:
        raise SettingError(f"A prior is the share of same pairs, above 0 and below 1, not {prior}.")
    return math.log(prior) - math.log1p(-prior)
