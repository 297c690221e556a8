"""How it learns: loops, checkpoints, run folders."""
