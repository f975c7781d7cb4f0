"""Corrects logits from the class prior of the training to that of later use."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..errors import Infeasible, check_bool, check_integer, check_number, exactly, listed, one_of, shown, typed, warn
from ..inputs.columns import by_label
from ..kernels.array_types import Floats
from ..readings import as_list
from ..run.sampler_of import needed_sampler
from .class_priors import ClassPriors, LabelPart, class_priors, stream_priors
from .domains import domain_ids
from .given_shares import checked_shares, shares_by_class, uniform_like

if TYPE_CHECKING:
    from ..base_plan import BasePlan
    from ..run.sampler import BatchSampler

__all__ = ["LogitAdjustment", "Mode"]

Mode = Literal["post_hoc", "loss"]
Priors = npt.ArrayLike
Deploy = Literal["natural", "uniform"] | Mapping[Any, float] | Priors

_NEVER = math.log(np.finfo(np.float32).tiny)  # about -87: the smallest exponent whose probability is above 0 in float32
_SHAPED_LIKE_IMAGES = 4  # logits of so many dimensions may be of images, whose classes are in dimension 1


class LogitAdjustment(nn.Module):
    """Adds `tau * log(deploy / trained)` to logits: from the class shares of the training to those of later use.

    `mode="post_hoc"` adds it to the logits of a trained model: for tau = 1, Bayes' rule turns the posterior under
    `trained` into the one under `deploy`. `mode="loss"` subtracts it from the logits *within the loss*, so that the
    logits of the model itself learn the posterior under `deploy`. Special cases have other names:

    - trained sampled, deploy natural, post hoc: prior correction (Elkan 2001; Saerens et al. 2002; for one logit King
      and Zeng 2001);
    - trained natural, deploy uniform: logit adjustment, either mode, any tau (Menon et al. 2021); in the loss with tau
      = 1 it is balanced softmax (Ren et al. 2020);
    - trained uniform, deploy uniform: nothing is changed.

    A class with deploy share 0 gets about -87 post hoc: a finite number, with a probability of nearly 0. A class that
    was never sampled but has a deploy share keeps its logit, with a warning.

    Args:
        trained: the shares of the classes in training, in the order of the logits, array-like of shape (C,); or (D, C),
            a row for each domain; or a mapping from class to share, in this order unless `names` has another.
        deploy: the shares in later use, of the same shape, or `"uniform"` over the classes of the training.
        mode: `"post_hoc"` or `"loss"`.
        tau: the strength: 1 is Bayes' rule, 0 changes nothing.
        binary: whether the model has one logit for each sample, the log-odds of the second of two classes (`positive`).
        names: the names of the classes, in the order of the logits; 0..C-1 if left out.

    Attributes:
        classes: the name of the class of each logit; of two with `binary`.
        positive: with `binary`, the class whose log-odds the model gives; None without.
        offset: what is added to the logits, float32 (C,); (D, C) with domains; without C if `binary`.

    Raises:
        Infeasible: shares are negative, do not sum to 1, or have different shapes; `binary` with more or fewer than two
            classes; in the loss, a class of the training has deploy share 0.

    Example:
        >>> adjust = LogitAdjustment([0.5, 0.5], [0.98, 0.02])
        >>> toss = torch.zeros(1, 2)  # on the balanced stream both classes are as likely
        >>> [round(share, 6) for share in adjust(toss).softmax(-1)[0].tolist()]
        [0.98, 0.02]
    """

    offset: Tensor

    def __init__(
        self,
        trained: Priors | Mapping[Any, float],
        deploy: Priors | Mapping[Any, float] | Literal["uniform"],
        *,
        mode: Mode = "post_hoc",
        tau: float = 1.0,
        binary: bool = False,
        names: Sequence[Hashable] | None = None,
    ) -> None:
        super().__init__()
        mode = one_of(mode, "mode", get_args(Mode))
        if not check_number(tau, "tau") >= 0:
            raise Infeasible(f"tau is {exactly(tau)}, the least is 0", "pass tau=0 or more, 1 for Bayes' rule")
        if isinstance(trained, Mapping):
            names = list(trained) if names is None else as_list(names, "names")
            trained = shares_by_class(trained, names, "trained")
        before = checked_shares("trained", trained)
        if isinstance(deploy, Mapping):
            deploy = shares_by_class(
                deploy, list(range(before.shape[-1])) if names is None else as_list(names, "names")
            )
        if isinstance(deploy, str):
            one_of(deploy, "deploy", ("uniform",), or_else="shares")
        after = uniform_like(before) if isinstance(deploy, str) else checked_shares("deploy", deploy)
        if before.shape != after.shape:
            raise Infeasible(
                f"trained has shape {before.shape}, deploy {after.shape}", "pass one share a class in both"
            )
        classes: list[Hashable] = list(range(before.shape[-1])) if names is None else as_list(names, "names")
        if len(classes) != before.shape[-1]:
            raise Infeasible(
                f"names has {len(classes)} entries for {before.shape[-1]} classes", "pass one name a class"
            )
        if check_bool(binary, "binary") and len(classes) != 2:
            raise Infeasible(f"binary=True with {len(classes)} classes, it takes 2", "pass binary=False")
        offset = float(tau) * _log_ratio(before, after, mode, classes)
        if binary:
            offset = offset[..., 1] - offset[..., 0]
        self.mode, self.tau, self.binary, self.classes = mode, tau, binary, classes
        self.positive = classes[1] if binary else None
        self.domains = before.shape[0] if before.ndim == 2 else None
        self.register_buffer("offset", torch.as_tensor(offset, dtype=torch.float32))

    @classmethod
    def from_plan(
        cls,
        plan: BasePlan,
        *,
        mode: Mode = "post_hoc",
        tau: float = 1.0,
        deploy: Deploy = "natural",
        binary: bool = False,
        batches: int | None = None,
        classes: Any = None,
        order: Sequence[Hashable] | None = None,
        class_of: LabelPart | None = None,
        domain_of: LabelPart | None = None,
    ) -> LogitAdjustment:
        """The adjustment for a model that was trained with a plan.

        `trained` is the exact prior of the plan. So with balanced sampling and `deploy="uniform"` nothing is changed:
        the sampling has done it already.

        Args:
            plan: the plan of the training.
            mode: as for the class.
            tau: as for the class.
            deploy: the shares in later use: `"natural"` (of the dataset of the plan), `"uniform"` over the classes of
                the training, a mapping from class to share, or shares in the order of the logits.
            binary: as for the class.
            batches: the number of micro-batches in training, of all ranks: the prior is the mean over the first so many
                of the plan; if shares change and epochs ended early, use `from_sampler`. None: over
                the epochs until shares have settled; over epoch 0 if they never change. With `local=` epochs may differ
                where open shards lack a group: pass the number, or use `from_sampler`.
            classes: the class of every sample, array-like of shape (n_samples,), or `Groups`; needed if the groups of
                the plan are not classes but sources, tasks or single samples.
            order: the class of each logit, also of classes that the plan does not have. If left out: the order that the
                labels declare, as ordered categories of pandas do, else sorted ("10" before "2" if they are text).
            class_of: from the name of a group to its class, if groups are not classes.
            domain_of: from the name of a group to its domain: one row of priors for each, in the order of the groups.

        Raises:
            Infeasible: as for the class; `order` or `deploy` lacks a class, a domain is never sampled, `classes` are of
                other samples, or `batches` is None and the shares of the plan may always change.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.balanced(["cat"] * 98 + ["dog"] * 2, batch_size=2)
            >>> [round(share, 6) for share in LogitAdjustment.from_plan(plan)(torch.zeros(2)).softmax(-1).tolist()]
            [0.98, 0.02]
        """
        if batches is not None:
            batches = check_integer(batches, "batches", least=1)
        priors = class_priors(
            plan, batches=batches, classes=classes, order=order, class_of=class_of, domain_of=domain_of
        )
        return cls._between(priors, deploy, mode=mode, tau=tau, binary=binary)

    @classmethod
    def from_sampler(
        cls,
        sampler: BatchSampler,
        *,
        mode: Mode = "post_hoc",
        tau: float = 1.0,
        deploy: Deploy = "natural",
        binary: bool = False,
        classes: Any = None,
        order: Sequence[Hashable] | None = None,
        class_of: LabelPart | None = None,
        domain_of: LabelPart | None = None,
    ) -> LogitAdjustment:
        """The adjustment for a model that was trained on the batches that all ranks have had so far.

        If shares changed by a schedule or by `sampler.retarget`, the prior is the mean over all of it, also from before
        a restart. What was left out of epochs that ended early, by `break` or by a limit of the trainer, does not count.
        A run that was set to a later epoch or batch at its start counts what came before as given out. What workers of a
        plain `DataLoader` have read ahead counts too; those of `plan.loader` are not counted. Arguments as for `from_plan`.

        Raises:
            Infeasible: as for `from_plan`; or nothing was yielded yet.

        Example:
            >>> import batchwright as bw
            >>> plan = bw.balanced([0] * 90 + [1] * 10, 10, target=bw.targets.schedule("natural", "uniform", epochs=2))
            >>> sampler = plan.sampler()
            >>> for _ in range(4):  # epochs
            ...     _ = list(sampler)
            >>> adjust = LogitAdjustment.from_sampler(sampler)  # class 1 had .1, .3, .5 and .5 of them
            >>> round(float(adjust(torch.zeros(2)).diff().exp()), 6) == round((0.1 / 0.9) / (0.35 / 0.65), 6)
            True
        """
        sampler = needed_sampler(sampler)
        if not sampler.epochs_done:
            raise Infeasible("the sampler has given out 0 batches", "train first, or use from_plan")
        batches = sampler.given_out() or 1
        priors = class_priors(
            sampler.plan, batches=batches, classes=classes, order=order, class_of=class_of, domain_of=domain_of
        )
        return cls._between(priors, deploy, mode=mode, tau=tau, binary=binary)

    @classmethod
    def from_stream(
        cls,
        stream: Any,
        *,
        mode: Mode = "post_hoc",
        tau: float = 1.0,
        deploy: Deploy = "natural",
        binary: bool = False,
        order: Sequence[Hashable] | None = None,
    ) -> LogitAdjustment:
        """The adjustment for what a stream has delivered: `trained` are shares of slots, `"natural"` of samples read.

        Args:
            stream: a stream, its loader, or its `report()`.
            mode: as for the class.
            tau: the same.
            deploy: as for `from_plan`.
            binary: as for the class.
            order: the class of each logit; sorted if left out.

        Raises:
            Infeasible: as for the class; nothing was read yet, or `order` or `deploy` lacks a class.

        Example:
            >>> from batchwright import online
            >>> stream = online.balanced([(n, "ab"[n % 10 == 0]) for n in range(100)], key=1, batch_size=2, buffer=40)
            >>> batches = list(stream)
            >>> LogitAdjustment.from_stream(stream).classes
            ['a', 'b']
        """
        return cls._between(stream_priors(stream, order), deploy, mode=mode, tau=tau, binary=binary)

    @classmethod
    def _between(cls, priors: ClassPriors, deploy: Deploy, *, mode: Mode, tau: float, binary: bool) -> LogitAdjustment:
        if binary and not priors.in_order and len(priors.classes) == 2 and isinstance(priors.classes[1], str):
            first, second = map(shown, priors.classes)
            warn(
                f"the log-odds are taken to be those of {second}, the second of {first} and {second}; pass order=, the "
                "positive class last."
            )
        shares: Priors | Literal["uniform"]
        deploy = by_label(deploy)
        if isinstance(deploy, Mapping):
            shares = shares_by_class(deploy, priors.classes)
            shares = shares if priors.domains is None else np.tile(shares, (len(priors.domains), 1))
        elif isinstance(deploy, str):
            word = one_of(deploy, "deploy", ("natural", "uniform"), or_else="shares")
            shares = priors.natural if word == "natural" else "uniform"
        else:
            shares = deploy
        return cls(priors.trained, shares, mode=mode, tau=tau, binary=binary, names=priors.classes)

    def forward(self, logits: Tensor, *, domains: Tensor | None = None, dim: int | None = None) -> Tensor:
        """Add the offset to logits (..., C), or, if `binary`, to log-odds of any shape but (N, 2); their dtype stays.

        Args:
            logits: the output of the model, floating-point.
            domains: the domain of each sample, an integer tensor (N,); if and only if the priors have a row for each.
            dim: the dimension of the classes; the last if left out. Segmentation models give (N, C, H, W): pass `dim=1`.

        Raises:
            Infeasible: the logits are no floating-point numbers, or of another number of classes than the priors; log-odds
                look like logits of two classes; `domains` is missing, not needed, or not a row for each sample; `dim` is no
                dimension, or it is left out and the logits could be (N, C, ..., C).
        """
        if domains is None and self.domains is not None:
            raise Infeasible(
                f"the priors have {self.domains} rows of domains, domains is None",
                "pass domains=ids, the domain of each sample as a tensor",
            )
        if domains is not None and self.domains is None:
            raise Infeasible(
                f"the priors have no rows of domains, domains is {typed(domains)}",
                "leave domains out, or give the priors a row for each domain",
            )
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            raise Infeasible(
                f"logits are {f'of {logits.dtype}' if isinstance(logits, Tensor) else typed(logits)}, whose dtype cannot "
                "hold the offset",
                "give logits as a tensor of floating-point numbers",
            )
        if not self.binary and not logits.dim():
            raise Infeasible(
                "the model gives logits without dimensions", "give logits (..., C), a number for each class"
            )
        if self.binary and logits.dim() == 2 and logits.shape[-1] == 2:  # one constant on both would change nothing
            raise Infeasible(
                f"logits have shape {tuple(logits.shape)}, as those of two classes have, and the adjustment was made with "
                "binary=True, for log-odds",
                "make the adjustment with binary=False; log-odds of two places in each sample are given as (N, 2, 1)",
            )
        if dim is not None:
            if self.binary or not -logits.dim() <= check_integer(dim, "dim") < logits.dim():
                raise Infeasible(
                    f"dim is {dim}, and the logits of shape {tuple(logits.shape)} "
                    f"{'are log-odds without classes' if self.binary else 'have no such dimension'}",
                    "leave dim out, or pass the dimension of the classes",
                )
            self._check_count(logits, dim)
            return self._adjusted(logits.movedim(dim, -1), domains).movedim(-1, dim)
        if (
            not self.binary
            and logits.dim() >= _SHAPED_LIKE_IMAGES
            and logits.shape[1] == logits.shape[-1] == len(self.classes)
        ):
            raise Infeasible(
                f"logits of shape {tuple(logits.shape)} may have their {len(self.classes)} classes in dimension 1 or in the "
                "last",
                "pass dim=1, or dim=-1",
            )
        self._check_count(logits, -1)
        return self._adjusted(logits, domains)

    def _check_count(self, logits: Tensor, dim: int) -> None:
        if not self.binary and logits.shape[dim] != len(self.classes):
            where = next((at for at in range(1, logits.dim()) if logits.shape[at] == len(self.classes)), None)
            raise Infeasible(
                f"the model gives {logits.shape[dim]} logits, the priors are of {len(self.classes)} classes: "
                f"{', '.join(map(repr, self.classes[:3]))}{', ...' if len(self.classes) > 3 else ''}",
                "name the class of every logit with order=, or the class of every sample with classes= if the groups of "
                "the plan are something else"
                if where is None
                else f"pass dim={where}, the dimension of the classes",
            )

    def _adjusted(self, logits: Tensor, domains: Tensor | None) -> Tensor:
        """The logits with the offset, of which the last dimension has the classes."""
        offset = self.offset.to(logits)
        if domains is not None:
            tail = 0 if self.binary else 1
            ids = domain_ids(domains, logits, rows=offset.shape[0], per_sample=tail)
            # Unlike plain indexing, it takes no number below 0, on an accelerator too.
            offset = offset.index_select(0, ids.to(offset.device))
            # From (N, C) to (N, 1, ..., 1, C), so that it broadcasts over all dimensions between.
            offset = offset.view(*offset.shape[:1], *(1,) * (logits.dim() - 1 - tail), *offset.shape[1:])
        return logits + offset

    def extra_repr(self) -> str:
        """The arguments and the offset of each class, for `repr`."""
        offsets = [] if self.offset.is_meta else self.offset.tolist()  # a model without data is shown without them
        if self.offset.is_meta:
            corrections = listed(map(shown, self.classes))
        elif self.domains is not None:
            corrections = f"{listed(map(shown, self.classes))} in {self.domains} domains"
        elif self.binary:
            corrections = f"log-odds of {shown(self.positive)} {offsets:+.3g}"
        else:
            corrections = listed(
                f"{shown(name)} {offset:+.3g}" for name, offset in zip(self.classes, offsets, strict=True)
            )
        return f"{len(self.classes)} classes: {corrections}, mode={self.mode!r}, tau={self.tau}, binary={self.binary}"


def _log_ratio(trained: Floats, deploy: Floats, mode: Mode, names: list[Hashable]) -> Floats:
    """The offset for tau = 1; the docstring of the class has the rules for shares of 0."""
    surprises = _named(names, (trained == 0) & (deploy > 0))
    if surprises:
        warn(f"classes {surprises} were sampled 0 times and will be met: their logits stay as they are")
    vanished = _named(names, (trained > 0) & (deploy == 0))
    if mode == "loss" and vanished:
        raise Infeasible(
            f"{len(vanished)} of {len(names)} classes are trained on and have deploy share 0 "
            f"({listed(map(shown, vanished))}): no finite logits learn that",
            "give them a share in deploy, or pass mode='post_hoc'",
        )
    both = (trained > 0) & (deploy > 0)
    ratio = np.log(np.where(both, deploy, 1)) - np.log(np.where(both, trained, 1))
    # In the loss the sign is the opposite: the logits plus log(trained / deploy) fit the stream, so the logits alone
    # fit the data met later.
    if mode == "loss":
        return -ratio
    return np.where(deploy == 0, _NEVER, ratio)


def _named(names: list[Hashable], cells: npt.NDArray[np.bool_]) -> list[Hashable]:
    columns = np.flatnonzero(cells.reshape(-1, len(names)).any(axis=0))
    return [names[column] for column in columns]
