"""Relevance by atlas region: labels, names, sums, rankings."""

from bids_xai.core.regions.sums import RegionIndex, RegionSums, region_relevance

__all__ = ["RegionIndex", "RegionSums", "region_relevance"]
