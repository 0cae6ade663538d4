"""The tables that the app writes, each described once."""
