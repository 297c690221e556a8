"""What goes in: frames, labels and splits.

`DATASETS` maps the setting `dataset_name` to the class that lists a collection's frames and labels: a dataset of one's
own is a `Source` in a file of its own and a line here.
"""

from src.datasets.dmr_dataset import DMRDataset
from src.datasets.source import Source

DATASETS: dict[str, type[Source]] = {
    "dmr": DMRDataset,
}
