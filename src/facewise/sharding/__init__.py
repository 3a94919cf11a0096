"""Embedding a large photo store on several processes or machines."""
