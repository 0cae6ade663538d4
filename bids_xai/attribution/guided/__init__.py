"""Relevance guidance on the processor: the sum of z+ relevance in a mask, and its gradients."""

from bids_xai.attribution.guided.passes import MaskedRelevance, covers, masked_relevance

__all__ = ["MaskedRelevance", "covers", "masked_relevance"]
