"""Who is in: reading cells, selecting, matching, undersampling, splitting."""

from bids_xai.core.cohort.cells import is_missing
from bids_xai.core.cohort.covariates import encode_covariates
from bids_xai.core.cohort.group_balance import BalanceRow, balance
from bids_xai.core.cohort.matching import Matching, propensity_match
from bids_xai.core.cohort.sampling import age_bands, age_sex_strata, undersample

__all__ = [
    "BalanceRow",
    "Matching",
    "age_bands",
    "age_sex_strata",
    "balance",
    "encode_covariates",
    "is_missing",
    "propensity_match",
    "undersample",
]
