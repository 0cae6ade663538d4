"""Step spray: clusters of heatmaps, and what they go with."""
