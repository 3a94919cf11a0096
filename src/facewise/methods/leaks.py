"""Whether the model has seen photos that it is tested on here."""

from __future__ import annotations

from collections.abc import Sequence

from facewise.data.seen import seen_photos
from facewise.evaluation.leakage import TestedPhoto, find_leakage
from facewise.methods.division import Division
from facewise.models.file import ModelCard
from facewise.training.crops import Crops


def seen_before(card: ModelCard, crops: Crops, divisions: Sequence[Division]) -> list[str]:
    """Sentences on test photos that the model was trained on, or on why that cannot be known.

    Args:
        card: Of the model.
        crops: All.
        divisions: One a seed.
    """
    if card.trained_on is None:
        return [f"What {card.name} was trained on is not recorded: it may have seen these photos."]
    tested = {key for division in divisions for key in division.test.keys}
    rows = [i for i, key in enumerate(crops.store.keys) if key in tested]
    place = {key: i for i, key in enumerate(crops.source.keys)}
    seen = seen_photos(
        crops.source,
        [place[crops.store.keys[row]] for row in rows],
        crop_of=lambda i: crops.store.read(rows[i]),
    )
    photos = [
        TestedPhoto(one.key, one.photo or one.crop, bytes.fromhex(one.look), one.person) for one in seen
    ]
    found = find_leakage(card, photos, crop_of=lambda i: crops.store.read(rows[i]))
    notes = list(found.caveats)
    if found.photos:
        notes.insert(
            0,
            f"{card.name} was trained on photos that are tested on here, {found.photos_told()}: all methods "
            "but scratch look better than they are.",
        )
    return notes
