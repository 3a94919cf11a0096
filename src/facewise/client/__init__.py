"""Talking to a Facewise service from Python."""

from facewise.client.client import Client
from facewise.client.errors import (
    AccessError,
    AnswerError,
    BusyError,
    ConflictError,
    FullError,
    MissingError,
    RequestError,
    ServiceError,
    UnreachableError,
)
from facewise.client.results import (
    Analysis,
    AuditEntry,
    CalibrationFacts,
    Candidate,
    Challenge,
    Clustering,
    Decision,
    Detection,
    DetectorModel,
    EmbedderModel,
    Embedding,
    Enrolment,
    FaceRef,
    GallerySize,
    GroupedPhoto,
    Identification,
    IdentifiedFace,
    KeyHolder,
    LivenessCalibration,
    LivenessModels,
    Merged,
    Models,
    OperatingPoint,
    People,
    Person,
    PersonDetail,
    Presence,
    Rejection,
    Sample,
)

__all__ = [
    "AccessError", "Analysis", "AnswerError", "AuditEntry", "BusyError", "CalibrationFacts", "Candidate",
    "Challenge", "Client", "Clustering", "ConflictError", "Decision", "Detection", "DetectorModel",
    "EmbedderModel", "Embedding", "Enrolment", "FaceRef", "FullError", "GallerySize", "GroupedPhoto",
    "Identification", "IdentifiedFace", "KeyHolder", "LivenessCalibration", "LivenessModels", "Merged",
    "MissingError", "Models", "OperatingPoint", "People", "Person", "PersonDetail", "Presence", "Rejection",
    "RequestError", "Sample", "ServiceError", "UnreachableError",
]  # fmt: skip
