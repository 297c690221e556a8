"""What README's speed table is made with: `python -m benchmarks` and `python -m benchmarks scaling`."""
