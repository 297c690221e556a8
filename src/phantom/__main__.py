"""`python -m src.phantom`: a data folder of drawn patients."""

import sys

from src.errors import end_at_once

if __name__ == "__main__":  # while libraries are imported, and while patients are drawn: a part is drawn again
    end_at_once()

from src.phantom.dataset import main

sys.exit(main())
