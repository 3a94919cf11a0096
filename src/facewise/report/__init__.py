"""`facewise report`: one HTML file that says how good a run or model is, and shows where it fails.

The file needs nothing else: style, charts (SVG), photos (JPEG) and the little script of the embedding map are
inside. What cannot be shown is said, with the reason.
"""
