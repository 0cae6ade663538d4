"""Step ``baselines``: support vector machines, and what they see of a scan."""
