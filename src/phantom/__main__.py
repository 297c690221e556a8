"""`python -m src.phantom`: a data folder of drawn patients."""

from src.errors import end_at_once, run

if __name__ == "__main__":  # OpenCV takes a while to be imported, and Ctrl-C may come in it
    end_at_once()

from src.phantom.dataset import main

run(main)
