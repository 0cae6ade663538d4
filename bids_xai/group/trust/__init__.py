"""Step trust: can the heatmaps be believed."""
