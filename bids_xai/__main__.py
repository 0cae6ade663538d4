"""``python -m bids_xai``."""

import sys

from bids_xai.cli.main import main

sys.exit(main())
