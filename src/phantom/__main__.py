"""`python -m src.phantom`: a data folder of drawn patients."""

import sys

from src.phantom.dataset import main

sys.exit(main())
