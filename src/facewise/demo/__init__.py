"""The whole story in one command, on people who are drawn for it or on photos of one's own.

A step a file (`finding`, `learning`, `lfw_folds`, `choosing`, `verifying`, `naming`, `grouping`): each does
something as a user would and gives a `Section`, which is told on the command line at once and ends in the
report. `run` puts them in order; `report` ends them. Training is the only step that needs PyTorch.
"""
