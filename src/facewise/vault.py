"""Encryption at rest: what a gallery keeps, unreadable without its key."""
