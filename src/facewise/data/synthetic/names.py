"""Names for drawn people: made of two lists, the same for a number every time."""

from __future__ import annotations

GIVEN = (
    "Ada", "Bela", "Cleo", "Dara", "Eden", "Finn", "Gale", "Hana", "Ilya", "Jora", "Kai", "Lena",
    "Milo", "Nia", "Odin", "Pia", "Quinn", "Remy", "Sana", "Toma", "Uma", "Vito", "Wren", "Xeno",
    "Yara", "Zora", "Alma", "Bram", "Cira", "Dov", "Elio", "Faye", "Gwen", "Hugo", "Isa", "Jude",
    "Kira", "Lior", "Mara", "Noor", "Orla", "Pax", "Rhea", "Sol", "Tess", "Ugo", "Vera", "Wim", "Yuki",
    "Zeno", "Anouk", "Bodhi", "Coral", "Dario", "Esme", "Fritz", "Greta", "Heidi", "Ivo", "Juno",
)  # fmt: skip
FAMILY = (
    "Ash", "Birch", "Clay", "Dale", "Elm", "Fern", "Glen", "Heath", "Iris", "Jade", "Knoll", "Lark",
    "Moss", "North", "Oak", "Pike", "Quill", "Reed", "Stone", "Thorn", "Umber", "Vale", "Wood", "Yew",
    "Amber", "Brook", "Cliff", "Dune", "East", "Frost", "Grove", "Hill", "Isle", "Kelp", "Lake",
    "Marsh", "Nettle", "Opal", "Pine", "Rain", "Sage", "Teal", "Vine", "West", "Aster", "Bay", "Cove",
    "Dew", "Ember", "Flint", "Gorse", "Hazel", "Ivy", "Juniper", "Leaf", "Mist", "Ochre", "Pebble",
    "Rowan", "Snow",
)  # fmt: skip


def name_of(number: int) -> str:
    """A name such as `Ada_Ash`, different for every number, fit for a folder."""
    # Each time round the given names, the family names move on by one: every pair comes once.
    round_, given = divmod(number, len(GIVEN))
    family = FAMILY[(given + round_) % len(FAMILY)]
    again = number // (len(GIVEN) * len(FAMILY))
    return f"{GIVEN[given]}_{family}" + (f"_{again + 1}" if again else "")
