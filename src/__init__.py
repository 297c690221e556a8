"""Breast thermography: encoder, data, training, evaluation and prediction."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src.prediction.predictors import load_classifier, load_segmenter

__all__ = ["load_classifier", "load_segmenter"]


def __getattr__(name: str) -> Any:
    """The two loaders, imported when they are asked for: `import src` alone must not cost torch's seconds."""
    if name in __all__:
        from src.prediction import predictors

        return getattr(predictors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
