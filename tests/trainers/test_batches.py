"""What trainers do to a batch on its way to the model: it arrives as a dict would, with its samples and side channel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.trainer_pt_utils import LabelSmoother

import batchwright as bw
from batchwright.adapters.transformers import PlanTrainer

from .. import processes
from .programs import batches
from .programs.batches import COLLATE, NUMBERED, ROWS, keeps, made

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own


def model(**config: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=31, **sizes, **config))


class Seen:
    """Of a trainer: keeps what the loss was computed of, as it came."""

    def compute_loss(self, model: Any, inputs: Any, *others: Any, **more: Any) -> Any:
        keeps(inputs)
        self.seen = [*getattr(self, "seen", []), inputs.aside.sample_ids.tolist()]
        return super().compute_loss(model, inputs, *others, **more)


class Plain(Seen, Trainer):
    """Transformers' own, with batches from a plain loader."""


class Planned(Seen, PlanTrainer):
    """With batches of a plan."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, plan=bw.shuffled(len(ROWS), 4, seed=3), **options)


def trained(kind: type, folder: Any, *, collate: Any = COLLATE, options: Any = None, **arguments: Any) -> Any:
    """A trainer after four steps, and what it logged as losses."""
    settings = {"report_to": [], "use_cpu": True, "save_strategy": "no", "max_steps": 4, "disable_tqdm": True}
    settings |= {"per_device_train_batch_size": 4, "logging_steps": 1, "remove_unused_columns": False}
    trainer = kind(
        model=model(use_cache=False),
        args=TrainingArguments(str(folder), **settings, **arguments),
        train_dataset=bw.identified(ROWS),
        eval_dataset=bw.identified(ROWS),
        data_collator=collate,
        **options or {},
    )
    trainer.train()
    return trainer, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def as_dict(samples: Any) -> dict[str, Any]:
    return dict(COLLATE(samples))


def summed(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    logits = outputs.logits[:, :-1].flatten(0, 1)
    total = torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")
    return total / num_items_in_batch


LOSSES = {
    "the model's own": {},
    "label smoothing": {"label_smoothing_factor": 0.1},
    "a function": {"options": {"compute_loss_func": summed}},
    "accumulated": {"gradient_accumulation_steps": 2},
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_transformers_trains_on_batches_as_on_dicts_of_the_same_entries(loss, tmp_path):
    trainer, losses = trained(Plain, tmp_path, **loss)
    assert len(losses) == 4
    assert losses == trained(Trainer, tmp_path, collate=as_dict, **loss)[1]
    assert all(len(ids) == 4 for ids in trainer.seen)


def test_the_side_channel_is_there_where_a_plans_loss_is_computed(tmp_path):
    trainer, _ = trained(Planned, tmp_path)
    plan = bw.shuffled(len(ROWS), 4, seed=3)
    assert trainer.seen == [plan[number].tolist() for number in range(4)]


def test_transformers_evaluates_and_predicts_on_batches(tmp_path):
    trainer, _ = trained(Plain, tmp_path, label_smoothing_factor=0.1)
    peer, _ = trained(Trainer, tmp_path, collate=as_dict, label_smoothing_factor=0.1)
    assert trainer.evaluate()["eval_loss"] == peer.evaluate()["eval_loss"]
    mine, wanted = trainer.predict(bw.identified(ROWS[:4])), peer.predict(bw.identified(ROWS[:4]))
    assert (mine.predictions == wanted.predictions).all()
    assert (mine.label_ids == wanted.label_ids).all()


def test_what_trainers_write_into_a_batch_reaches_the_model():
    batch = made()
    labels = batch.pop("labels")
    batch["use_cache"] = False
    batch["shift_labels"] = torch.nn.functional.pad(labels, (0, 1), value=-100)[..., 1:]
    batch["position_ids"] = torch.arange(labels.shape[1]).expand(4, -1)
    keeps(batch)
    output = model()(**{name: value for name, value in batch.items() if name not in ("weight", "shift_labels")})
    assert output.past_key_values is None
    assert LabelSmoother(0.1)(output, labels, shift_labels=True) > 0


def test_trls_trainer_trains_on_batches(tmp_path):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    class Supervised(Seen, SFTTrainer):
        """TRL's, which writes `use_cache` into its inputs."""

    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(31)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1")
    losses = {}
    for kind, collate in ((Supervised, NUMBERED), (SFTTrainer, lambda samples: dict(NUMBERED(samples)))):
        trainer = kind(
            model=model(),
            args=SFTConfig(
                str(tmp_path),
                per_device_train_batch_size=4,
                max_steps=3,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                use_cpu=True,
                bf16=False,
                disable_tqdm=True,
                gradient_checkpointing=False,
                remove_unused_columns=False,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=batches.dataset(),
            data_collator=collate,
            processing_class=tokenizer,
        )
        trainer.train()
        losses[kind] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses[Supervised]) == 3
    assert losses[Supervised] == losses[SFTTrainer]


def test_lightning_moves_and_casts_batches(tmp_path):
    from lightning.fabric.utilities.apply_func import move_data_to_device
    from lightning.pytorch import LightningModule
    from lightning.pytorch import Trainer as Lightning

    seen = []

    class Module(LightningModule):
        """Keeps what each step was given."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any) -> Any:
            keeps(batch)
            seen.append((batch.weight.dtype, batch.input_ids.dtype))
            return self.layer(batch.weight[:, None]).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    keeps(move_data_to_device(made(), torch.device("cpu")))
    loader = DataLoader(bw.identified(ROWS), 4, collate_fn=COLLATE)
    for precision, dtype in (("32-true", torch.float32), ("64-true", torch.float64), ("bf16-true", torch.bfloat16)):
        seen.clear()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        Lightning(max_steps=2, accelerator="cpu", precision=precision, default_root_dir=tmp_path, **quiet).fit(
            Module(), loader
        )
        assert seen == [(dtype, torch.int64)] * 2


def test_accelerate_moves_pads_and_measures_batches():
    from accelerate import Accelerator
    from accelerate.utils import concatenate, find_batch_size, pad_across_processes, send_to_device, slice_tensors

    accelerator = Accelerator(cpu=True)
    for batch in accelerator.prepare(DataLoader(bw.identified(ROWS), 4, collate_fn=COLLATE)):
        keeps(batch)
    keeps(send_to_device(made(), "cpu"))
    keeps(pad_across_processes(made(), dim=1))
    keeps(accelerator.gather(made()))
    assert find_batch_size(made()) == 4
    cut = slice_tensors(made(), slice(1, 3))
    joined = concatenate([made(), made()])
    assert (cut.sample_count, joined.sample_count) == (2, 8)
    assert cut["input_ids"].equal(made()["input_ids"][1:3])
    assert cut.aside.sample_ids is joined.aside.sample_ids is None


def test_ignite_converts_batches():
    from ignite.engine import Engine
    from ignite.utils import convert_tensor

    loader = DataLoader(bw.identified(ROWS), 4, collate_fn=COLLATE)
    Engine(lambda engine, batch: keeps(convert_tensor(batch, device="cpu"))).run(loader)


def test_two_processes_gather_batches_and_train_on_them_with_ddp():
    for told in processes.run(batches.distributed, 2):
        assert told == {"gathered": 8, "rows": [4, 4], "losses": [True, True], "gradients": True}


def test_two_processes_train_on_batches_with_fsdp():
    assert processes.run(batches.sharded, 2) == [True, True]


def test_ddp_sends_a_batch_whole_to_its_device():
    with processes_of_one():
        network = batches.Network()
        assert DistributedDataParallel(network)(batch=made()).equal(network(batch=made()))


class processes_of_one:  # noqa: N801  # read as a function
    """A process group of this process alone."""

    def __enter__(self) -> None:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

    def __exit__(self, *_: object) -> None:
        dist.destroy_process_group()
