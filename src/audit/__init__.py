"""Which traits of files and frames tell the diagnosis: `python -m src.audit`. A leaf but for main_binary.py."""
