"""Ways to put names to faces, compared on the same photos: what a user's data deserves.

`facewise.methods.compare.compare_methods` does it. Nothing is imported here: what measures its own memory
imports no more than it needs.
"""
