"""Step ``explain``: heatmaps, and how good the classifiers are."""
