"""Stages of the participant level: read files, call, write files."""
