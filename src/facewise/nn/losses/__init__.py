"""Losses: embeddings and labels to one number to minimise, one loss a file."""
