"""Training models of attributes: age, gender, emotion, race."""
