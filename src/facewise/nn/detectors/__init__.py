"""Detectors: photos to boxes, scores and landmarks, one architecture a file."""
