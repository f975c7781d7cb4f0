"""The loader of a plan: a `DataLoader` that counts which batches reached the training loop."""

from .loader import Loader
from .loops import Epoch
from .progress import Progress
from .samples import Broken

__all__ = ["Broken", "Epoch", "Loader", "Progress"]
