"""Talking to a Facewise service from Python."""
