"""bids_xai: image classifiers of brain disease that explain themselves, from BIDS to evidence."""

__version__ = "0.1.0"
