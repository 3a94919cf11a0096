"""People with names, who is in a photo, and photos grouped without names."""

from facewise.gallery.cluster import cluster, cluster_faces
from facewise.gallery.gallery import Gallery
from facewise.gallery.reader import FaceReader
from facewise.gallery.results import (
    Enrollment,
    Identification,
    Person,
    PersonDetail,
    Rejection,
    Sample,
    Space,
    StoredSample,
)
from facewise.gallery.store import Store

__all__ = [
    "Enrollment",
    "FaceReader",
    "Gallery",
    "Identification",
    "Person",
    "PersonDetail",
    "Rejection",
    "Sample",
    "Space",
    "Store",
    "StoredSample",
    "cluster",
    "cluster_faces",
]
