"""The sections on how a study was done: in words, and all its settings."""
