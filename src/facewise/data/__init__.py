"""Photos of people for training and measuring: where they come from, how they are split, aligned and kept."""
