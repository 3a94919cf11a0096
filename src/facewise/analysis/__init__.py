"""What a face tells beside whose it is: how it is turned, its expression, its points in 3-D."""
