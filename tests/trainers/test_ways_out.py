"""Refusals of the adapters, each through the trainer itself: what is wrong is said, and its way out works there."""

from __future__ import annotations

import warnings

import pytest
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import DataLoader
from transformers import Trainer as HuggingFaceTrainer

from batchwright.adapters.accelerate import prepare
from batchwright.adapters.lerobot import frames
from batchwright.adapters.transformers import PlanTrainer

from .. import processes
from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .places import SAMPLES, loader, made, plan
from .programs import mesh, sentence_transformers, trl
from .short_runs import (
    OF_TWO,
    Generates,
    accelerated,
    asked,
    by_list,
    engine_runs,
    engine_runs_on_its_loader,
    engine_runs_on_its_own,
    fits,
    generate,
    goes_on,
    hugging_face,
    made_of,
    of_arguments,
    of_sentences,
    of_this_process,
    of_two_tasks,
    ray_saves,
    ray_trains,
    saved_and_gone_on_with,
    stateful,
    stateless,
    two_loaders,
    two_loaders_with_one_sampler,
)
from .test_ignite import DeterministicEngine
from .test_lerobot import as_lerobot_says
from .test_lightning_loaders import combined

with warnings.catch_warnings():  # Ray's own, when it is imported
    warnings.simplefilter("ignore")


pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

APART = SOURCE / "adapters" / "torchtitan.py"  # whose tests are in an environment of their own
FILES = [SOURCE / "run" / "divided.py", *sorted(set((SOURCE / "adapters").rglob("*.py")) - {APART})]

EPISODES = ([0, 5], [5, 12])

TABLE = {
    "lerobot: a data set without episodes": (
        lambda: frames([0] * 9),
        "which has no meta.episodes; pass a LeRobotDataset, or the pair (starts, ends) of the episodes.",
        lambda: [frames(as_lerobot_says()), frames(EPISODES)],
    ),
    "lerobot: episodes that overlap": (
        lambda: frames(([0, 4], [5, 12])),
        "2 episodes begin and 2 end, of which some overlap or end before they begin; pass where each begins",
        lambda: frames(EPISODES),
    ),
    "lerobot: an episode that is none": (
        lambda: frames(EPISODES, episodes=[2]),
        "episode 2 is asked for, the data set has 2; pass numbers from 0 to 1.",
        lambda: frames(EPISODES, episodes=[0, 1]),
    ),
    "lerobot: no frame left": (
        lambda: frames(EPISODES, drop_last=9),
        "no frame is left to draw from 2 episodes, of which the longest has 7 frames; drop fewer frames, or read smaller",
        lambda: frames(EPISODES, drop_last=5),
    ),
    "lerobot: episodes without tasks": (
        lambda: frames(EPISODES, by="task"),
        "there are 2 episodes and 0 tasks; pass tasks=, one of each episode.",
        lambda: frames(EPISODES, by="task", tasks=["a", "b"]),
    ),
    "lerobot: an episode of two tasks": (
        lambda: frames(of_two_tasks(), by="task"),
        "episode 1 has 2 tasks, and its frames are to be of one group; pass tasks=, one of each episode.",
        lambda: frames(of_two_tasks(), by="task", tasks=["a", "b"]),
    ),
    "lerobot: tasks of episodes": (
        lambda: frames(EPISODES, by="episode", tasks=["a", "b"]),
        "tasks are given, and frames are grouped by 'episode'; pass by=\"task\", or leave tasks out.",
        lambda: [frames(EPISODES, by="task", tasks=["a", "b"]), frames(EPISODES, by="episode")],
    ),
    "sentence transformers: another data set": (
        lambda: of_sentences(98),
        "the data set has 98 rows, the plan was made for 99; make the plan from the data set that is trained on, and name",
        of_sentences,
    ),
    "sentence transformers: an evaluation that cannot be told from the training": (
        lambda: of_sentences(evaluation={"nine": sentence_transformers.rows(9), "all": sentence_transformers.rows(99)}),
        "the data set to evaluate has 99 rows, as many as the plan was made for; use PlanTrainer",
        lambda: [
            of_sentences(evaluation=evaluated)
            for nine in [sentence_transformers.rows(9)]
            for evaluated in (
                [nine, sentence_transformers.rows(98)],
                {"nine": nine, "rest": sentence_transformers.rows(98)},
            )
        ],
    ),
    "sentence transformers: a loader as the plan": (
        lambda: of_sentences(plan=made),
        "plan is of type Loader; pass the plan itself",
        of_sentences,
    ),
    "sentence transformers: arguments of a checkpoint": (
        asked,
        "these arguments were read from a checkpoint, which holds no plan; call samplers(plan) again.",
        lambda: asked(again=True),
    ),
    "transformers: a trainer that generates in another way": (
        lambda: hugging_face(Generates, plan=plan()),
        "Generates generates from each prompt several times, in a way unknown to PlanTrainer; let it draw",
        lambda: hugging_face(HuggingFaceTrainer),
    ),
    "transformers: parts of generations": (
        lambda: generate(gradient_accumulation_steps=3, steps_per_generation=2),
        "an optimizer step has 3 micro-batches, 2 come of one generation: a step would have parts of generations; "
        "pass gradient_accumulation_steps=2.",
        lambda: generate(gradient_accumulation_steps=2, steps_per_generation=2),
    ),
    "transformers: a plan of other generations": (
        lambda: generate(6),
        "a process generates from 3 prompts at once, 2 times from each; the plan has micro-batches of 6; make the plan of "
        "the prompts with batch_size=3.",
        generate,
    ),
    "transformers: a setting that the plan decides": (
        lambda: of_arguments(dataloader_drop_last=True),
        "TrainingArguments have dataloader_drop_last=True, which leaves out samples at the end of an epoch; the plan "
        "decides that; leave dataloader_drop_last out.",
        of_arguments,
    ),
    "transformers: another seed than the plan's": (
        lambda: of_arguments(data_seed=6),
        "TrainingArguments have data_seed=6, the plan's seed is 5; leave data_seed out, and pass seed=6 to the plan, if it",
        of_arguments,
    ),
    "transformers: another size than the plan's": (
        lambda: of_arguments(per_device_train_batch_size=3),
        "TrainingArguments have per_device_train_batch_size=3, the plan's micro-batches have 4 samples; leave "
        "per_device_train_batch_size out, or pass 4.",
        lambda: of_arguments(per_device_train_batch_size=4),
    ),
    "transformers: a loader as the plan": (
        lambda: hugging_face(PlanTrainer, plan=made()),
        "plan is of type Loader; pass the plan itself",
        lambda: hugging_face(PlanTrainer, plan=plan()),
    ),
    "accelerate: another loader": (
        lambda: prepare(Accelerator(cpu=True), loader(plan().sampler())),
        "of which Accelerate would give each process a part of its part; pass plan.loader(dataset).",
        accelerated,
    ),
    "accelerate: a loader of another world": (
        lambda: prepare(Accelerator(cpu=True), made_of(**OF_TWO)),
        "accelerate runs 1 processes, the loader's batches are shared by <rank 0 of 2 of <plan: 10 micro-batches of 4",
        lambda: accelerated(of_this_process),
    ),
    "accelerate: batches of one rank that are divided again": (
        lambda: list(BatchSamplerShard(plan().sampler(**OF_TWO), num_processes=2, process_index=0)),
        "accelerate gives this process a part of those: BatchSamplerShard divides what a DataLoader yields; pass",
        accelerated,
    ),
    "ignite: another loader's sampler": (
        lambda: engine_runs(loader(plan().sampler()), plan(6).sampler()),
        "the engine's loader draws from <rank 0 of 1 of <plan: 10 micro-batches of 4",
        engine_runs_on_its_own,
    ),
    "ignite: another loader": (
        lambda: engine_runs(made(), made()),
        "the engine's loader draws from <rank 0 of 1 of <plan: 10 micro-batches of 4",
        engine_runs_on_its_loader,
    ),
    "ignite: a loader of no plan": (
        lambda: engine_runs(DataLoader(range(SAMPLES), batch_size=4), made()),
        "not from the sampler of what PlanProgress was given; pass PlanProgress the loader that the engine runs on",
        engine_runs_on_its_loader,
    ),
    "ignite: an engine that drops batches": (
        lambda: engine_runs_on_its_own(by_list, DeterministicEngine),
        "DeterministicEngine, when it resumes, drops batches of a loader with batch_size=None; make the loader with",
        lambda: engine_runs_on_its_own(loader, DeterministicEngine),
    ),
    "lightning: a checkpoint of another plan": (
        lambda: saved_and_gone_on_with(6),
        "build the plan with the arguments, labels and seed it had",
        lambda: saved_and_gone_on_with(5),
    ),
    "lightning: a checkpoint of fewer plans": (
        lambda: saved_and_gone_on_with(5, 6),
        "the training loaders have 2 plans, they had 1 before; pass the loaders of the run that is resumed.",
        lambda: saved_and_gone_on_with(5),
    ),
    "lightning: a loader of no plan": (
        lambda: fits(DataLoader(range(SAMPLES), batch_size=4)),
        "no training loader has a plan; pass plan.loader(dataset), or leave the callback out.",
        lambda: fits(made()),
    ),
    "lightning: one sampler for two loaders": (
        two_loaders_with_one_sampler,
        "two training loaders draw from one sampler; give each of them a plan.loader(dataset)",
        two_loaders,
    ),
    "lightning: a loader that is not begun again": (
        lambda: fits(combined("max_size")),
        "a plan has 3 batches for 10 batches, and 'max_size' yields None after them; pass CombinedLoader(",
        lambda: [fits(combined("max_size_cycle")), fits(combined("min_size"), 3)],
    ),
    "ray: a sampler of another world": (
        lambda: ray_trains(**OF_TWO),
        "this is worker 0 of 1, the loader's batches are shared by <rank 0 of 2 of <plan: 10 micro-batches of 4",
        ray_trains,
    ),
    "ray: an epoch without a step": (
        lambda: ray_saves(epoch=0),
        "epoch is 0 and step is None; pass step= of that epoch too, or leave epoch out.",
        lambda: [ray_saves(epoch=0, step=1), ray_saves()],
    ),
    "torchdata: a state older than the loader": (
        lambda: goes_on(stateful(plan().sampler(), 2)),
        "the state is 1 steps older than the loader was; build the loader with snapshot_every_n_steps=1",
        lambda: goes_on(stateful(plan().sampler(), 1)),
    ),
    "torchdata: a loader of no plan": (
        lambda: goes_on(stateless()),
        "the loader's state holds no batchwright sampler's; build the loader with batch_sampler=plan.sampler()",
        lambda: goes_on(stateful(plan().sampler(), 1)),
    ),
}
CASES = cases("refuse message follow", TABLE)


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case])


def test_every_refusal_in_these_files_is_among_these():
    of_parts = [at for found in processes.run(mesh.every_trainer, 2)[0].values() for at in found["refused"]]
    of_parts += processes.run(trl.half_a_generation, 2)[0]
    assert len(of_parts) == 3
    check_that_all_are_reached(FILES, 12, [CASES], of_parts)
