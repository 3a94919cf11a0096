"""Network definitions in PyTorch, under the key names of their public checkpoints."""
