"""The page of a participant."""
