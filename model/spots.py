"""A classifier that looks for warm spots: both breasts brought to one shape, and what is usual there taken out."""

import math

import torch
import torch.nn.functional as F
from sklearn.covariance import ledoit_wolf
from torch import nn

SIDE = 24
"""Rows and columns of a breast once it is brought to its shape."""
WIDTHS = (1.2, 1.6, 2.2)
"""Standard deviations of the spots looked for, in pixels of that shape: a breast is some 15 cm, they are 2 to 3 cm
wide at half their height."""
RISE = 10 / 255
"""Height of these spots, in levels of -1..1."""
LEVEL, LEFT, RIGHT = range(3)
CHANNELS = 3
"""Of what the model sees: the gray level, and how probably a pixel is of the left and of the right breast."""
SMALLEST = 0.005
"""Share of the frame below which what looks like a breast is none."""
STRAY = 0.01
"""Share of a breast's pixels that may lie beyond each side of its box, so that a stray one does not stretch it."""
_ROWS = 120
VESSEL = 3
"""Pixels of a frame of that many rows, some 9 mm: vessels are thinner, spots above tumours twice as wide or more."""


class SpotModel(nn.Module):
    """One logit a frame, sick if positive, from z [B, 3, H, W] as `CHANNELS` says.

    Warm lines thinner than VESSEL are taken out of the frame. The boxes around both breasts are resampled to SIDE x
    SIDE, the right one mirrored, and their common mean subtracted. What is left is whitened by the mean and the
    covariance of the training frames (`fit`), both breasts together, so that each is judged by the other one too: the
    linear observer of Hotelling, with Gaussian spots of every place and of `WIDTHS` as signals. A small network, the
    same for both sides, then reads the maps of these signals' strengths, and their soft maximum is the logit. In a
    mirror the logit stays the same.

    Source: Barrett and Myers, Foundations of Image Science, 2004, chapter 13 (Hotelling observer, search for signals
    of unknown place); Serra, Image Analysis and Mathematical Morphology, 1982 (opening).
    """

    mean: torch.Tensor
    precision: torch.Tensor
    energy: torch.Tensor
    usual: torch.Tensor
    """(top, bottom, start, end) of each breast's box, as shares of the frame, where it is not found."""

    def __init__(self, hidden: int = 12) -> None:
        super().__init__()
        size = 2 * SIDE * SIDE
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("precision", torch.eye(size))
        self.register_buffer("energy", torch.ones(len(WIDTHS), SIDE, SIDE))
        # Weights that were trained with vessels still in do not have it, and are refused.
        self.register_buffer("vessel", torch.tensor(VESSEL))
        usual = torch.tensor([[0.35, 0.85, 0.1, 0.5], [0.35, 0.85, 0.5, 0.9]])
        self.register_buffer("usual", usual, persistent=False)
        self.network = nn.Sequential(
            nn.Conv2d(len(WIDTHS), hidden, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, 1, 1),
        )
        # At first the logit is that of the ideal observer of such spots: from a random one, training is slow to start.
        for weights in self.network[-1].parameters():
            nn.init.zeros_(weights)
        self.gain = nn.Parameter(torch.tensor([0.0, 1.0, 0.0])[:, None, None])
        self.place = nn.Parameter(torch.zeros(SIDE, SIDE))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, 3, H, W], or a function that gives it -> logits [B]."""
        with torch.autocast(z.device.type, enabled=False):  # products of a thousand values: float32
            return self.read(self.strengths(self.shaped(z.float())))

    def shaped(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, 3, H, W] -> both breasts' levels [B, 2, SIDE, SIDE] in one shape, the right one mirrored."""
        level = z[:, LEVEL : LEVEL + 1]
        level = _opened(_of_usual_size(level))
        left = F.grid_sample(level, self._grid(z[:, LEFT], 0), padding_mode="border", align_corners=False)
        right = F.grid_sample(level, self._grid(z[:, RIGHT], 1), padding_mode="border", align_corners=False)
        both = torch.cat((left, right.flip(-1)), 1)
        return both - both.mean((1, 2, 3), keepdim=True)

    def found(self, z: torch.Tensor) -> torch.Tensor:
        """Whether the left and the right breast are there, bool [B, 2]."""
        return _is_there((z[:, LEFT:] > 0.5).float())

    def _grid(self, probability: torch.Tensor, side: int) -> torch.Tensor:
        """Where each pixel of a breast's shape lies in the frame, [B, SIDE, SIDE, 2] as `grid_sample` takes it."""
        inside = (probability > 0.5).float()
        box = torch.stack([*_ends(inside.sum(2)), *_ends(inside.sum(1))], 1)
        box = torch.where(_is_there(inside)[:, None], box, self.usual[side])
        top, bottom, start, end = box.unbind(1)
        steps = (torch.arange(SIDE, device=box.device) + 0.5) / SIDE
        y = top[:, None] + (bottom - top)[:, None] * steps
        x = start[:, None] + (end - start)[:, None] * steps
        y, x = y[:, :, None].expand(-1, -1, SIDE), x[:, None, :].expand(-1, SIDE, -1)
        return torch.stack((x, y), -1) * 2 - 1

    def strengths(self, shaped: torch.Tensor) -> torch.Tensor:
        """Breasts [B, 2, SIDE, SIDE] -> how far a spot at each place stands out, [B, 2, WIDTHS, SIDE, SIDE]."""
        whitened = (shaped.flatten(1) - self.mean) @ self.precision
        maps = _matched(whitened.view(-1, SIDE, SIDE)).view(-1, 2, len(WIDTHS), SIDE, SIDE)
        return (maps - self.energy / 2) / self.energy.sqrt()

    def read(self, strengths: torch.Tensor) -> torch.Tensor:
        """Strengths [B, 2, WIDTHS, SIDE, SIDE] -> logits [B]."""
        size = 2 * SIDE * SIDE
        ratios = (strengths * self.energy.sqrt() * self.gain).sum(2)
        scores = ratios + self.network(strengths.flatten(0, 1)).view(-1, 2, SIDE, SIDE)
        logits: torch.Tensor = (scores + self.place).flatten(1).logsumexp(1) - math.log(size) + self.bias
        return logits

    @torch.no_grad()
    def fit(self, shaped: torch.Tensor) -> None:
        """Take what is usual from the training frames' breasts [N, 2, SIDE, SIDE], sick and healthy alike.

        The covariance is drawn to a round one as far as so many frames ask for (Ledoit and Wolf, Journal of
        Multivariate Analysis 2004). Left and right count as exchangeable. Raises ValueError where nothing differs.
        """
        values = torch.cat((shaped, shaped.flip(1))).flatten(1).cpu().double()
        covariance = torch.from_numpy(ledoit_wolf((values - values.mean(0)).numpy(), assume_centered=True)[0])
        variance = covariance.diagonal().mean()
        if not variance > 0:
            raise ValueError("the training frames' breasts all look the same")
        precision = torch.linalg.inv(covariance + 1e-4 * variance * torch.eye(len(covariance), dtype=torch.float64))
        self.mean.copy_(values.mean(0))
        self.precision.copy_(precision)
        # A spot's energy: what its own whitened image gives it. The other side's is the same.
        profiles, size = _profiles().double(), SIDE * SIDE
        spots = RISE * torch.einsum("wai,wbj->wabij", profiles, profiles).flatten(3).flatten(1, 2)
        energy = torch.einsum("wpi,ij,wpj->wp", spots, precision[:size, :size], spots)
        self.energy.copy_(energy.view(-1, SIDE, SIDE))


def _of_usual_size(level: torch.Tensor) -> torch.Tensor:
    """Levels [B, 1, H, W] in a frame of _ROWS rows and the same aspect."""
    rows, columns = (int(side) for side in level.shape[-2:])  # of a frame as large as all others of a run
    if rows % _ROWS == 0:
        return F.avg_pool2d(level, rows // _ROWS)
    return F.interpolate(level, size=(_ROWS, round(columns * _ROWS / rows)), mode="bilinear")


def _opened(level: torch.Tensor) -> torch.Tensor:
    """Levels [B, 1, H, W] without what is warmer than its surroundings and narrower than VESSEL: a gray opening."""
    around = VESSEL // 2
    lowest = -F.max_pool2d(-level, VESSEL, stride=1, padding=around)
    return F.max_pool2d(lowest, VESSEL, stride=1, padding=around)


def _is_there(inside: torch.Tensor) -> torch.Tensor:
    """Whether masks [..., H, W] are large enough to be a breast's, bool [...]."""
    return inside.mean((-2, -1)) >= SMALLEST


def _ends(amounts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Between which places, as shares of the length, the amounts [B, L] lie but for STRAY of them at either end."""
    length, total = amounts.shape[1], amounts.sum(1, keepdim=True)
    before = (amounts.cumsum(1) < STRAY * total).sum(1)
    after = (amounts.flip(1).cumsum(1) < STRAY * total).sum(1)
    return before / length, 1 - after / length


def _profiles() -> torch.Tensor:
    """The height along one direction of spots at each place, [WIDTHS, SIDE (places), SIDE]."""
    places = torch.arange(SIDE)
    return torch.exp(-0.5 * ((places - places[:, None]) / torch.tensor(WIDTHS)[:, None, None]) ** 2)


def _matched(maps: torch.Tensor) -> torch.Tensor:
    """Maps [N, SIDE, SIDE] times spots of RISE at every place, summed: [N, WIDTHS, SIDE, SIDE]."""
    profiles = _profiles().to(maps)
    return RISE * torch.einsum("nij,wai,wbj->nwab", maps, profiles, profiles)
