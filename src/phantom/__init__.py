"""Drawn torsos: frames with labels that no patient sat for, to teach networks and to prove the software with."""
