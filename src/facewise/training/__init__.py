"""Training: the configuration, the loop, what it saves, and how several processes share it."""
