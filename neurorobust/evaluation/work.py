"""The work of one evaluation: what a recipe has to know first, every shard, the record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorobust import records
from neurorobust.attacks import settings
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation import minimum
from neurorobust.evaluation.draws import Draws
from neurorobust.evaluation.examples import examples
from neurorobust.evaluation.kept import Count, Kept, Progress
from neurorobust.evaluation.mode_choice import best_mode, broken_by_mode
from neurorobust.evaluation.probes import probes
from neurorobust.evaluation.query import Arrays
from neurorobust.evaluation.request import Request
from neurorobust.evaluation.shard import SHARD, evaluate_shard
from neurorobust.evaluation.store import Store
from neurorobust.evaluation.summary import (
    SMALL,
    clean_rate,
    minimum_rates,
    redraw_rate,
    robust_rates,
    targeted_rates,
)
from neurorobust.evaluation.targeted import targeted
from neurorobust.provenance import now, provenance
from neurorobust.records import Card, Probe, Record, rate


@dataclass
class Work:
    """Everything that `evaluate` was given, checked; see there."""

    classifier: Classifier
    dataset: Dataset
    card: Card
    model: str
    request: Request
    validation: Dataset | None
    progress: Progress | None
    command: str
    pending: tuple[str, ...]

    def run(self, store: Store) -> Record:
        """Do what is not done yet, and write the record."""
        started, clock = now(), time.perf_counter()
        chosen = self._chosen(store)
        request = self.request
        if chosen is not None and chosen.strongest is not None:
            request = request.decided(chosen.strongest)
        probed = self._probed(store)
        self._shards(store, request)
        count = len(self.dataset.parts(SHARD))
        arrays: dict[str, Any] = store.gather(count, *SMALL)
        jobs = request.jobs
        extra: Arrays = examples(
            self.classifier, self.dataset, jobs, arrays, store, request.seed
        )  # fmt: skip
        if self.classifier.encoder.random:
            shape = (*self.classifier.backend.model.input_shape, self.classifier.encoder.steps)
            extra["drawn_shape"] = np.asarray(shape, dtype=np.int64)
        backend = self.classifier.backend
        known = (*jobs, *request.targeted_jobs)
        record = Record(
            request=self.request.plain(),
            model=self.model or backend.model.path or backend.model.sha256,
            model_sha256=backend.model.sha256,
            card=self.card,
            backend=backend.name,
            target=backend.about,
            dataset=self.dataset.name,
            seed=request.seed,
            seeds=request.all_seeds if request.seeds > 1 else (),
            attacks={job.label: settings(job.attack) for job in known},
            clean=clean_rate(arrays),
            classes=backend.model.outputs,
            draws=request.draws if self.classifier.encoder.random else None,
            redraw=redraw_rate(arrays),
            robust=robust_rates(arrays, jobs),
            recipe=chosen,
            minimum=minimum_rates(arrays, jobs) if request.minimum else {},
            targeted=targeted_rates(arrays, request.targeted_jobs),
            probes=probed,
            pending=self.pending,
            provenance=provenance(
                self.command, started, time.perf_counter() - clock, backend.measured()
            ),
        )
        store.finish(count, extra, record)
        return record

    def _shards(self, store: Store, request: Request) -> None:
        """Every shard; an interruption says what is kept."""
        kinds = len({job.kind for job in request.jobs}) if request.minimum else 0
        each = 1 + len(request.jobs) + len(request.targeted_jobs) + kinds
        shards = self.dataset.parts(SHARD)
        count = Count(len(shards) * each, self.progress)
        for number, part in enumerate(shards):
            if store.has(number):
                count.skip(each)
                continue
            kept = store.kept(number, count)
            try:
                store.save(number, self._shard(request, number, part, kept))
            except KeyboardInterrupt as error:
                jobs = f"{kept.done} of {each} jobs of shard {number + 1} of {len(shards)} are kept"
                before = f"{number} of {len(shards)} shards and " if number else ""
                raise KeyboardInterrupt(before + jobs) from error
        count.begin()

    def _shard(self, request: Request, number: int, part: slice, kept: Kept) -> Arrays:
        x, labels = self.dataset[part]
        target, jobs, aimed = self.classifier, request.jobs, request.targeted_jobs
        draws = Draws(request.seed, number, request.draws)
        arrays = evaluate_shard(target, x, labels, jobs, draws, kept)
        if request.minimum:
            arrays |= minimum.smallest(target, x, labels, jobs, arrays, draws, kept)
        if aimed:
            arrays |= targeted(target, x, labels, aimed, draws, kept)
        return arrays

    def _chosen(self, store: Store) -> records.Recipe | None:
        """The recipe, its strongest mode found once and kept."""
        recipe, undecided = self.request.recipe, self.request.undecided
        if recipe is None:
            return None
        members = tuple(dict.fromkeys(job.label for job in self.request.jobs if job.recipe))
        if not undecided:
            return records.Recipe(name=recipe.name, members=members)
        if self.validation is None:
            chosen, counts = recipe.modes[0], {}
        else:
            counts = store.noted("strongest")
            if counts is None:
                self._say(f"{recipe.name}: finding the strongest backward mode")
                counts = broken_by_mode(
                    self.classifier, recipe, self.validation, undecided, self.request.seed
                )
                store.note("strongest", counts)
            chosen = best_mode(counts)
        decided = self.request.decided(chosen)
        return records.Recipe(
            name=recipe.name,
            members=tuple(dict.fromkeys(job.label for job in decided.jobs if job.recipe)),
            strongest=chosen,
            chosen_on=None if self.validation is None else _named(self.validation),
            chosen_by={mode: rate(*count) for mode, count in counts.items()},
        )

    def _probed(self, store: Store) -> tuple[Probe, ...]:
        """What the recipe's attacks depend on, found once and kept."""
        recipe = self.request.recipe
        if recipe is None or not self.classifier.differentiable:
            return ()
        kept = store.noted("probes")
        if kept is None:
            self._say(f"{recipe.name}: probing widths, scales and steps")
            own = [job for job in self.request.jobs if job.recipe]
            found = probes(self.classifier, recipe, self.dataset, own, self.request.seed)
            kept = [probe.model_dump(mode="json") for probe in found]
            store.note("probes", kept)
        return tuple(Probe.model_validate(probe) for probe in kept)

    def _say(self, what: str) -> None:
        if self.progress is not None:
            self.progress(0, 1, what)


def _named(data: Dataset) -> str:
    return f"the last {len(data)} samples of {data.name} ({data.split})"
