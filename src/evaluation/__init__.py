"""How it is judged: metrics and figures, from arrays."""
