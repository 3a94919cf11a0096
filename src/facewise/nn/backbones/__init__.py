"""Backbones: crops to embeddings, one architecture a file."""
