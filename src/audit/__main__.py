"""`python -m src.audit`: whether traits of the files tell the diagnosis."""

from src.audit.audit import main
from src.errors import run

run(main)
