"""Spectral relevance analysis (SpRAy): features, graph, clusters, audit."""

from bids_xai.core.spray.clusters import SprayResult, spray

__all__ = ["SprayResult", "spray"]
