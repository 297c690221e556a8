"""Several trainings as one experiment: folds, seeds, the published protocol, baselines, and their pooled scores."""
