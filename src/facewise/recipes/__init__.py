"""Recipes: one published or reproduced experiment a YAML file, its measured result in its header."""
