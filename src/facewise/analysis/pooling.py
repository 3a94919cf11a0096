"""One answer from several looks at one face, as in a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from facewise.models.attributes import WORDS
from facewise.types import Age, Attributes, Guess


def pooled(looks: Sequence[Attributes], weights: Sequence[float], least: Mapping[str, float]) -> Attributes:
    """The weighted mean of what looks at one face tell.

    Probabilities are averaged, and so are an age and both ends of its interval: that does not shrink with the
    number of looks, as what makes one wrong about a face (its light, its bearer's years) is in all of them.
    A look that nothing is told of does not count, unless there are no others.

    Args:
        looks: One or more; of one face, and asked for the same.
        weights: Of each, above 0.
        least: Attribute → the probability below which an answer is not sure.
    """
    told = [(look, weight) for look, weight in zip(looks, weights, strict=True) if not look.note]
    if not told:
        notes = Counter(look.note for look in looks)
        return Attributes(note=notes.most_common(1)[0][0])
    shares = np.array([weight for _, weight in told]) / sum(weight for _, weight in told)
    ages = [look.age for look, _ in told if look.age is not None]
    age = None
    if len(ages) == len(told):
        age = Age(*(shares @ np.array([(one.mean, one.low, one.high) for one in ages])).tolist())
    found: dict[str, Guess] = {}
    for name in WORDS:
        guesses = [guess for look, _ in told if (guess := getattr(look, name)) is not None]
        if len(guesses) == len(told):
            found[name] = _guess(guesses, shares, least[name])
    return Attributes(age, found.get("gender"), found.get("emotion"), found.get("race"))


def _guess(guesses: Sequence[Guess], shares: np.ndarray, least: float) -> Guess:
    words = list(guesses[0].probabilities)
    means = shares @ np.array([[guess.probabilities[word] for word in words] for guess in guesses])
    best = int(means.argmax())
    return Guess(words[best] if means[best] >= least else None, dict(zip(words, means.tolist(), strict=True)))
