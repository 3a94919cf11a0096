"""Drawn people: faces whose identity, box, landmarks, pose, light and expression are known exactly.

A person is drawn from (seed, number) and a photo from (seed, person, photo), so any of them can be had
without the others, in any order, in any number of processes, and is always the same.
"""

from facewise.data.synthetic.person import HAIR_STYLES, Person
from facewise.data.synthetic.render import Rendered, encode, render
from facewise.data.synthetic.scene import Scene, scene
from facewise.data.synthetic.source import SyntheticSource
from facewise.data.synthetic.truth import Truth, truth_of
from facewise.data.synthetic.view import GLASSES, View
from facewise.data.synthetic.write import Written, write_people

__all__ = [
    "GLASSES",
    "HAIR_STYLES",
    "Person",
    "Rendered",
    "Scene",
    "SyntheticSource",
    "Truth",
    "View",
    "Written",
    "encode",
    "render",
    "scene",
    "truth_of",
    "write_people",
]
