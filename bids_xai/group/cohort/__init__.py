"""Step cohort: who is in, and who trains, validates and tests."""
