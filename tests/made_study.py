"""A study whose trials were run in this process: as a search leaves it, in seconds and without Ray."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import write_interactions

STUDY = """\
study: made
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 2, holdout: 1, filter_viewed: false}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
  report: [HitRate@10]
space:
  use: search_spaces.guide
  set: {n_factors: 16, n_heads: 1, n_blocks: 2, session_max_len: 8, batch_size: 64}
baselines: [ease, sasrec, next_action_unidirectional, albert, sasrec_albert_layers]
training: {epochs: 2}
"""
#: The trial that was stopped in its first fold, and the one that was not run.
STOPPED, WAITING = "sasrec_albert_layers", "alsasrec"


def make_study(folder: Path, text: str = STUDY) -> Path:
    """Run the baselines of a study, the last one up to its first evaluation; return the results' folder."""
    import torch

    from tuner.artifacts.user_values import write_users
    from tuner.config import Study
    from tuner.evaluation import evaluate_folds
    from tuner.models.build import trial_params
    from tuner.preparation.prepare import prepare
    from tuner.trials.objective import summarise
    from tuner.trials.outcomes import Stop
    from tuner.workflows.opening import open_prepared, write_snapshot

    write_interactions(folder / "clicks.csv")
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    study = Study.load(folder / "study.yaml")
    results = folder / "studies" / study.study
    results.mkdir(parents=True)
    prepared = prepare(study, lambda line: None)
    store = open_prepared(prepared, results)
    write_snapshot(study, results)
    store.add_baselines([(b.name, b.params, b.point) for b in prepared.baselines])
    torch.set_num_threads(1)
    for baseline in prepared.baselines:
        asked = store.ask(prepared.space, 2, lambda params: trial_params(params, study.training.epochs))
        assert asked is not None
        made = []
        evaluate_folds(
            asked.params,
            prepared.folds,
            prepared.plan,
            asked.seeds,
            made.append,
            report_users=lambda users, number=asked.number: write_users(results, number, users),
        )
        log = f"logs/trial-{asked.number:04d}.log"
        if baseline.name == STOPPED:
            store.report(asked.number, made[0], "NDCG@10", study.training.epochs)
            evidence = {"value": 0.1, "place": 4.0, "n_trials": 4.0, "rung": 1.0, "kept": 2.0}
            store.prune(asked.number, stop=Stop("halving", 0, 1, evidence), seconds=1.0, log=log)
            continue
        for evaluation in made:
            store.report(asked.number, evaluation, "NDCG@10", study.training.epochs)
        store.complete(asked.number, summarise(made, "NDCG@10", "maximize"), seconds=1.0, log=log)
    store.add_baselines([(WAITING, dict(prepared.baselines[-1].params), None)])
    return results
