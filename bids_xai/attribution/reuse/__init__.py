"""Explanations and predictions made again: what did not change is not computed again."""
