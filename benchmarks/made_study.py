"""Writes a study of any length in seconds: a conditional space with random results, without training.

Its trials are like those of a real study: learning curves over two folds, stopped and failed trials,
baselines, and workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.config import Sampler
from tuner.space import Choice, Float, Int, Space, Value
from tuner.store import open_store
from tuner.trials.objective import Direction, summarise
from tuner.trials.outcomes import Failure, Stop, Usage
from tuner.trials.records import Evaluation
from tuner.trials.schema import attempt_key, evaluation_key, usage_key

OBJECTIVE, EPOCHS, N_FOLDS = "NDCG@10", 8, 2
BEGIN = datetime(2026, 3, 2, 9, 0)  # Optuna's times are local
NET_BLOCKS = "rectools.models.nn.transformers.net_blocks"
SPACE = Space(
    {
        "cls": Choice("SASRecModel", "BERT4RecModel"),
        "n_blocks": Int(1, 4),
        "n_factors": Choice(32, 64, 128, 256),
        "lr": Float(1e-4, 1e-2, log=True),
        "dropout_rate": Float(0.0, 0.5),
        "loss": Choice(
            {
                "softmax": {},
                "BCE": {"n_negatives": Int(1, 256, log=True)},
                "gBCE": {"n_negatives": Int(16, 256, log=True), "gbce_t": Float(0.0, 1.0)},
            }
        ),
        "transformer_layers_type": Choice(
            {
                f"{NET_BLOCKS}.PreLNTransformerLayers": {"ff_factors_multiplier": Choice(1, 2, 4)},
                "search_spaces.albert.AlbertLayers": {
                    "n_hidden_groups": Int(1, "n_blocks"),
                    "n_inner_groups": Int(1, 2),
                },
            }
        ),
        "mask_prob": Float(0.1, 0.6, when={"cls": "BERT4RecModel"}),
    }
)
#: Name of a baseline -> its value of the objective.
BASELINES = {"popular": 0.021, "ease": 0.046, "sasrec": 0.049}


def make_study(
    folder: Path,
    n_trials: int,
    *,
    name: str = "made",
    seed: int = 0,
    further: dict[str, Direction] | None = None,
    cause: str = "RuntimeError: the loss is not finite",
    baselines: Mapping[str, float] = BASELINES,
) -> Path:
    """Write a study of `n_trials` searched trials and its baselines into a folder; return the folder.

    Parameters
    ----------
    folder
        Folder of the study. It is created if it does not exist.
    n_trials
        Number of searched trials. About half of them complete, most others are stopped, and a few fail.
    name
        Name of the study.
    seed
        Seed of all random draws.
    further
        Further objectives with their directions.
    cause
        Cause of the failed trials.
    baselines
        Value of the objective by name of the baseline.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "objective": OBJECTIVE,
        "direction": "maximize",
        "data": "0123456789abcdef",
        "epochs": EPOCHS,
        "seed": seed,
        "folds": {"split": "time_range", "size": "14D", "n_folds": N_FOLDS, "holdout": 1},
        **({"further objectives": further} if further else {}),
    }
    store = open_store(
        folder, name=name, direction="maximize", sampler=Sampler(use="random"), seed=seed, facts=facts
    )
    store.describe(_description())
    rng = np.random.default_rng(seed)
    made = [*_baselines(baselines, rng, further), *_searched(n_trials, rng, seed, further, cause)]
    store.study.add_trials(made)
    return folder


def _description() -> dict[str, Any]:
    fold = {"train": 61_520, "train_users": 5_120, "train_items": 3_050, "test": 4_207, "test_users": 1_404}
    return {
        "data": {
            "interactions": 80_112,
            "users": 5_804,
            "items": 3_127,
            "start": "2025-09-01",
            "end": "2026-02-27",
            "duplicates": 12,
            "dropped": 0,
        },
        "folds": [
            {**fold, "start": "2026-01-16T00:00:00", "end": "2026-01-30T00:00:00"},
            {**fold, "train": 66_041, "start": "2026-01-30T00:00:00", "end": "2026-02-13T00:00:00"},
        ],
        "holdout": "the newest 14 days",
    }


def _baselines(
    baselines: Mapping[str, float], rng: np.random.Generator, further: dict[str, Direction] | None
) -> Iterator[FrozenTrial]:
    for index, (name, value) in enumerate(baselines.items()):
        params: dict[str, Value] = {"cls": f"{name.capitalize()}Model"}
        evaluations = [
            _evaluation(fold, 0, value + 0.001 * fold, 0.3 + 0.2 * index, rng) for fold in range(N_FOLDS)
        ]
        attributes = {"name": name, **_complete(evaluations, params)}
        yield _trial(attributes, index, 30.0 + 10 * index, state=TrialState.COMPLETE, further=further)


def _searched(
    n_trials: int, rng: np.random.Generator, seed: int, further: dict[str, Direction] | None, cause: str
) -> Iterator[FrozenTrial]:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    points = optuna.create_study(sampler=sampler)
    for index in range(n_trials):
        asked = points.ask()
        params = SPACE.suggest(asked)
        place = len(BASELINES) + index
        dimensions = {"params": asked.params, "distributions": asked.distributions}
        quality, novelty = _quality(params, rng), float(rng.uniform(0.2, 1.0))
        fate = float(rng.uniform())
        seconds = float(120 + 240 * rng.uniform())
        if fate < 0.03:  # a few trials fail
            attributes = _common(params) | {"failure": asdict(Failure(cause, "RuntimeError"))}
            yield _trial(attributes, place, seconds / 8, state=TrialState.FAIL, **dimensions)
        elif fate < 0.5:  # about half of the trials are stopped
            epochs = int(rng.choice([2, 4, 6]))
            evaluations = _curve(0, quality * 0.9, novelty, epochs, rng)
            evidence = {
                "value": evaluations[-1].metrics[OBJECTIVE],
                "place": 9.0,
                "n_trials": 12.0,
                "rung": float(epochs),
                "kept": 6.0,
            }
            stop = Stop("halving", 0, epochs, evidence)
            attributes = _common(params) | _noted(evaluations) | {"stop": stop.to_plain()}
            share = epochs / EPOCHS / N_FOLDS
            yield _trial(attributes, place, seconds * share, state=TrialState.PRUNED, **dimensions)
        else:
            evaluations = [
                evaluation
                for fold in range(N_FOLDS)
                for evaluation in _curve(fold, quality + 0.001 * fold, novelty, EPOCHS, rng)
            ]
            attributes = _complete(evaluations, params)
            yield _trial(attributes, place, seconds, state=TrialState.COMPLETE, further=further, **dimensions)


def _quality(params: dict[str, Value], rng: np.random.Generator) -> float:
    """Return the objective of a point. The learning rate and the loss change it most."""
    rate = math.log10(float(str(params["lr"])))
    value = 0.052 - 0.012 * (rate + 2.9) ** 2 + 0.004 * (params["loss"] == "softmax")
    value += 0.002 * str(params["transformer_layers_type"]).endswith("AlbertLayers")
    value -= 0.01 * float(str(params["dropout_rate"]))
    return max(0.004, value + float(rng.normal(0, 0.0015)))


def _curve(
    fold: int, quality: float, novelty: float, epochs: int, rng: np.random.Generator
) -> list[Evaluation]:
    return [
        _evaluation(fold, epoch, quality * (1 - math.exp(-0.6 * epoch)), novelty, rng)
        for epoch in range(1, epochs + 1)
    ]


def _evaluation(fold: int, epoch: int, value: float, novelty: float, rng: np.random.Generator) -> Evaluation:
    noisy = max(0.0, value + float(rng.normal(0, 0.0004)))
    metrics = {
        OBJECTIVE: noisy,
        "HitRate@10": noisy * 2.1,
        "MAP@10": noisy * 0.72,
        "Serendipity@10": noisy * 0.006 * novelty,
        "CoveredUsers@10": 1.0,
        "AvgRecPopularity@10": 420 * (1.2 - novelty),
        "Intersection@10_popular": 0.5 * (1.1 - novelty),
    }
    return Evaluation(
        fold,
        epoch,
        metrics,
        train_loss=5.0 / (epoch + 1) if epoch else None,
        fit_seconds=18.0 * epoch,
        evaluate_seconds=1.5 * epoch,
        n_parameters=int(1e6 * (1 + novelty)) if epoch else None,
        recommend_seconds=1.2,
    )


def _common(params: dict[str, Value]) -> dict[str, Any]:
    return {"params": dict(params), "seeds": [11, 12], "attempts": 1}


def _noted(evaluations: list[Evaluation]) -> dict[str, Any]:
    return {evaluation_key(one.fold, one.epoch): one.to_plain() for one in evaluations}


def _complete(evaluations: list[Evaluation], params: dict[str, Value]) -> dict[str, Any]:
    summary = summarise(evaluations, OBJECTIVE, "maximize")
    return _common(params) | _noted(evaluations) | {"summary": summary.to_plain()}


def _trial(
    attributes: dict[str, Any],
    place: int,
    seconds: float,
    *,
    state: TrialState,
    further: dict[str, Direction] | None = None,
    **dimensions: Any,  # params and distributions for `create_trial`
) -> FrozenTrial:
    slots = 4
    begin = BEGIN + timedelta(seconds=75.0 * place)
    where = {
        "began": begin.timestamp(),
        "host": f"worker-{place % slots // 2 + 1}",
        "pid": 4000 + place % slots,
        "cpus": 2.0,
        "gpus": 0.0,
    }
    attributes |= {
        "seconds": seconds,
        "log": f"logs/trial-{place:04d}.log",
        attempt_key(1): where,
        usage_key(1): asdict(Usage(2 * seconds, 0.0)),
    }
    values = None
    if state == TrialState.COMPLETE:
        summary = attributes["summary"]
        values = [summary["mean"], *(_further_value(summary, name) for name in further or ())]
    trial = create_trial(state=state, values=values, user_attrs=attributes, **dimensions)
    trial.datetime_start = begin
    trial.datetime_complete = begin + timedelta(seconds=seconds)
    return trial


def _further_value(summary: dict[str, Any], name: str) -> float:
    return float(summary["metrics"].get(name) or summary["n_parameters"] or 0)
