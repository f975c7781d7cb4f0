"""torchtitan: a data loader for the field `dataloader` of its trainer's configuration, of packs of documents.

What it keeps of torchtitan's contract: `Config.build` with the keywords of the trainer; batches of `({"input", "positions"},
labels)`, int64 of shape (local_batch_size, seq_len) each; a state for its checkpoints; an end that all ranks reach together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import ConcatDataset, Dataset
from torchtitan.components.dataloader import BaseDataLoader

from ..collate import Collate, ragged
from ..errors import Infeasible, shown
from ..plans.mixed import mixed
from ..plans.packed import packed
from ..targets import in_units

__all__ = ["PlanDataLoader"]

_IGNORED = -100  # as in torchtitan's losses
_MIXED_AT_ONCE = 8  # documents, in which shares are exact; few, so that a small sequence is not drawn twice in them


class PlanDataLoader(BaseDataLoader):
    """Packs of documents for torchtitan: `config.dataloader = PlanDataLoader.Config(documents=...)`.

    Documents are packed over all data-parallel ranks and then dealt to them, so that all have as many batches and no token
    comes twice. A run resumes at the next batch, also with another number of ranks. A label is the next token of the same
    document.

    Attributes:
        plan: the plan of the packs.
        loader: the plan's loader.
    """

    @dataclass(kw_only=True, slots=True)
    class Config(BaseDataLoader.Config):
        """What the loader is made of.

        Attributes:
            documents: a function of the tokenizer that gives the token numbers of documents: a sequence of array-likes of
                shape (n_tokens,), int; or several by name, `{"web": ..., "books": ...}`, to be mixed.
            lengths: the tokens of each document, one sequence after another, int array-like of shape (n_documents,);
                counted if left out, which reads all documents.
            shares: of several sequences, `{name: share}`, in tokens; their natural shares if left out.
            too_long: what becomes of a document longer than `seq_len`: "split" it, "truncate" or "skip" it, or "refuse".
            infinite: whether an epoch follows the other, or the first one is the last.
            seed: of the plan.
            num_workers: processes that read the documents.
            accumulate: batches of a rank in an optimizer step, `global_batch_size / (local_batch_size * ranks)`, which the
                trainer does not pass on. Finite data then are a whole number of steps; the trainer cancels a last step
                that is not whole.
        """

        documents: Callable[[Any], Any]
        lengths: Any = None
        shares: Mapping[str, float] | None = None
        too_long: Literal["split", "truncate", "skip", "refuse"] = "split"
        infinite: bool = True
        seed: int = 0
        num_workers: int = 0
        accumulate: int = 1

    def __init__(
        self,
        config: Config,
        *,
        dp_world_size: int,
        dp_rank: int,
        tokenizer: Any,
        seq_len: int,
        local_batch_size: int,
        **others: Any,
    ) -> None:
        given = config.documents(tokenizer)
        several = given if isinstance(given, Mapping) else {"documents": given}
        if config.shares is not None and set(config.shares) != set(several):
            raise Infeasible(
                f"shares are of {shown(sorted(config.shares))}, the documents of {shown(sorted(several))}",
                "pass a share of each sequence of documents",
            )
        documents = _Documents(ConcatDataset(list(several.values())))
        tokens = np.asarray(
            [len(documents.tokens[number]) for number in range(len(documents))]
            if config.lengths is None
            else config.lengths
        )
        short = np.flatnonzero(tokens < 2)
        if short.size:
            raise Infeasible(
                f"document {short[0]} has {tokens[short[0]]} tokens, the least is 2: one is read, the next one predicted",
                f"leave out documents of fewer than 2 tokens: there are {short.size}",
            )
        lengths = tokens - 1  # the last token of a document is the label of the one before it, and no input
        order = None
        if len(several) > 1:
            target = in_units("natural" if config.shares is None else dict(config.shares), lengths)
            sizes = {name: len(each) for name, each in several.items()}
            order = mixed(sizes, _MIXED_AT_ONCE, target=target, seed=config.seed)
        self.plan = packed(
            lengths, seq_len, packs=local_batch_size, order=order, too_long=config.too_long, seed=config.seed
        )
        whole = config.too_long in ("skip", "refuse")
        fields = Collate(input=ragged(pad=0), labels=ragged(pad=_IGNORED))
        self.loader = self.plan.loader(
            documents if whole else self.plan.pieces(documents, cut=["input", "labels"]),
            rank=dp_rank,
            world_size=dp_world_size,
            num_workers=config.num_workers,
            accumulate=config.accumulate,
            collate=fields.packs(
                capacity=seq_len, packs=local_batch_size, shape="packs", fill="dummy", also={"positions": "positions"}
            ),
        )
        self._rows, self._infinite = local_batch_size, config.infinite

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """The batches from where training stands; they end after an epoch, unless they are infinite."""
        while self._infinite or self.loader.next_start()[0] == 0:
            for batch in self.loader:
                inputs = {"input": self._filled(batch["input"], 0), "positions": self._filled(batch["positions"], None)}
                yield inputs, self._filled(batch["labels"], _IGNORED)

    def _filled(self, rows: Tensor, value: int | None) -> Tensor:
        """As many rows as every batch has; the last batches of a plan may have fewer packs."""
        missing = self._rows - len(rows)
        if missing and value is None:
            return torch.cat([rows, torch.arange(rows.shape[1]).expand(missing, -1)])
        return pad(rows, (0, 0, 0, missing), value=value or 0)

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that was given, the same on all ranks."""
        return {"position": json.dumps(self.loader.state_dict())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next loop resume there; {} changes nothing."""
        if state_dict:
            self.loader.load_state_dict(json.loads(state_dict["position"]))


class _Documents(Dataset[dict[str, Tensor]]):
    """Documents as inputs and the tokens that follow them."""

    def __init__(self, tokens: ConcatDataset[Any]) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        tokens = torch.as_tensor(self.tokens[number], dtype=torch.int64)
        return {"input": tokens[:-1], "labels": tokens[1:]}
