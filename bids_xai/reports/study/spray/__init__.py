"""The section on clusters of heatmaps (spectral relevance analysis)."""
