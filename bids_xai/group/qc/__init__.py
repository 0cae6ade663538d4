"""Step qc: quality of all sessions."""
