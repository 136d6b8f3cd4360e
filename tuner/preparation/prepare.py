"""Checks a study and makes the space, the baselines and the folds for a search. It does not start Ray.

All problems of a study that can be found before a trial are found here, the cheapest checks first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tuner.config import SpaceSection, Study
from tuner.data.folds import Fold, holdout_fold, search_folds
from tuner.data.items import with_items
from tuner.data.plausible import catalogue_warnings, holdout_text, holdout_warnings, refuse_one_item
from tuner.data.source import Source, load_source
from tuner.errors import Problem, SpaceError, StudyError, did_you_mean
from tuner.evaluation import Plan, metric_problems, with_reference
from tuner.formatting import quantity
from tuner.models.build import NamedParams, reference_params, resolve_baselines
from tuner.models.feasibility import DataFacts, dead_values, infeasible, needs_categories
from tuner.models.signatures import class_paths, options, space_problems
from tuner.preparation.warm_start import Earlier, read_earlier
from tuner.sampling.samplers import check_finite, make_sampler
from tuner.sampling.trying import try_sampler
from tuner.space import Domain, Space, Value, domain_from_plain, load_space, short_name
from tuner.store.space_migration import SPACE_FACT
from tuner.trials.families import families, is_of

__all__ = ["Prepared", "fold_line", "prepare", "prepare_final", "study_models", "study_space"]


@dataclass(frozen=True)
class Prepared:
    """A study that has been checked.

    Attributes
    ----------
    study
        The study as the user gave it.
    space
        The space with the study's own changes.
    baselines
        The baselines with complete params.
    folds
        Folds, oldest first, without the holdout.
    plan
        What to measure on each fold.
    known
        What is known of the data, which decides which params cannot work.
    facts
        Facts that decide whether two trials can be compared. Between runs of a study only the space may
        change.
    earlier
        Trials of the earlier studies that the warm start names.
    description
        Description of the data and the folds, for people: ``data`` (counts and dates), ``folds`` (sizes and
        time borders of each) and ``holdout`` (text).
    former
        Values of facts by which earlier versions knew the same study.
    """

    study: Study
    space: Space
    baselines: Sequence[NamedParams]
    folds: Sequence[Fold]
    plan: Plan
    known: DataFacts
    facts: Mapping[str, object]
    earlier: Sequence[Earlier]
    description: Mapping[str, object] = field(default_factory=dict)
    former: Mapping[str, object] = field(default_factory=dict)


def prepare(study: Study, say: Callable[[str], None]) -> Prepared:
    """Check a study and make its folds.

    Parameters
    ----------
    study
        The study to prepare.
    say
        Function that shows a line about the data and the folds.

    Raises
    ------
    UserError
        If there are problems. Checks are made in the order space and baselines, data, folds, earlier
        studies. The message has all problems of the first check that fails.
    """
    space, baselines = study_models(study)
    source = load_source(study.data)
    refuse_one_item(source.coded, study.data)
    _check_metrics(study, source)
    say(f"data: {source.describe(study.data.duplicates)}")
    for note in source.notes:
        say(note)
    _warn(source, study, say)
    folds = with_items(search_folds(source, study.data, study.folds), source.items)
    known = _known(source, folds)
    for line in (*_dead_lines(study, space, known), *_lines_of_nets(space, known)):
        say(f"warning: {line}")
    reference = reference_params(study, space)
    _refuse_for_data(study, baselines, reference, known)
    for fold in folds:
        say(f"fold {fold.index + 1}: {fold_line(fold)}")
    if study.folds.holdout:
        say(f"holdout: {holdout_text(study.folds)}; the search never reads it")
    plan = Plan.of(study)
    folds = with_reference(folds, reference, plan, study.search.seed)
    facts = _facts(study, source, space)
    former = _former(source)
    earlier = read_earlier(study, space, facts, former)
    description = {
        "data": source.facts(),
        "folds": [fold.facts for fold in folds],
        "holdout": holdout_text(study.folds) if study.folds.holdout else None,
    }
    return Prepared(study, space, baselines, folds, plan, known, facts, earlier, description, former)


def prepare_final(study: Study, say: Callable[[str], None]) -> Prepared:
    """Check a study again and make the fold of its final judgement.

    Parameters
    ----------
    study, say
        See `prepare`.

    Raises
    ------
    UserError
        See `prepare`. It is also raised if the study has no holdout.
    """
    space = study_space(study)  # it samples nothing, so the sampler is not checked
    baselines = resolve_baselines(study, space)
    source = load_source(study.data)
    _check_metrics(study, source)
    (fold,) = with_items([holdout_fold(source, study.data, study.folds)], source.items)
    known = _known(source, [fold])
    say(f"holdout: {fold_line(fold)}")
    for warning in holdout_warnings(source.coded, study.folds):
        say(f"warning: {warning}")
    plan = Plan.of(study)
    folds = with_reference([fold], reference_params(study, space), plan, study.search.seed)
    facts = _facts(study, source, space)
    return Prepared(study, space, baselines, folds, plan, known, facts, (), former=_former(source))


def _warn(source: Source, study: Study, say: Callable[[str], None]) -> None:
    """Say what may be wrong with the data, or unwise."""
    unwise = (
        *holdout_warnings(source.coded, study.folds),
        *catalogue_warnings(source.coded, study.metrics.objective),
        *_epoch_warnings(study),
    )
    for warning in (*source.warnings, *unwise):
        say(f"warning: {warning}")


def _known(source: Source, folds: Sequence[Fold]) -> DataFacts:
    features = source.item_features
    return DataFacts(
        n_users=min(int(str(fold.facts["train_users"])) for fold in folds),
        n_items=min(int(str(fold.facts["train_items"])) for fold in folds),
        has_categories=features is not None and not features.dense and bool(features.categorical),
    )


def _refuse_for_data(
    study: Study, baselines: Sequence[NamedParams], reference: Mapping[str, Value] | None, known: DataFacts
) -> None:
    """Refuse baselines, and a reference model, that cannot work with these data."""
    named = [(f"baselines[{index}] {one.name}", one.params) for index, one in enumerate(baselines)]
    named += [("metrics.reference", dict(reference))] if reference is not None else []
    problems = [
        Problem(f"{where}, {problem.where}", problem.rule, problem.hint)
        for where, params in named
        for problem in infeasible(params, known)
    ]
    if problems:
        raise study.refusal(problems)


def _lines_of_nets(space: Space, known: DataFacts) -> list[str]:
    """Return a line if the space names nets that RecTools leaves out because items have no categories."""
    asked = [value for value in options(space, "item_net_block_types") if isinstance(value, tuple)]
    beside = [
        value for value in asked if any(map(needs_categories, value)) != all(map(needs_categories, value))
    ]
    if known.has_categories or not beside:
        return []
    names = dict.fromkeys(short_name(one) for value in beside for one in value if needs_categories(one))
    return [f"{', '.join(names)} has no effect beside other item nets: data.item_features has no categories"]


def _epoch_warnings(study: Study) -> Iterator[str]:
    """Yield a warning for settings that count in epochs and are beyond the last one."""
    training, halving = study.training, study.stopping.halving
    if training.evaluate_every > training.epochs:
        yield (
            f"training.evaluate_every is {training.evaluate_every}, but training.epochs is "
            f"{training.epochs}: a fold is evaluated once"
        )
    if halving is not None and halving.rungs is not None and halving.rungs[0] > training.epochs:
        yield (
            f"stopping.halving.rungs begin at epoch {halving.rungs[0]}, but training.epochs is "
            f"{training.epochs}: no trial reaches a rung"
        )


def _dead_lines(study: Study, space: Space, known: DataFacts) -> list[str]:
    """Return a line for each value that no trial can have, since the search leaves such values out.

    Raises
    ------
    StudyError
        If no point of the space can work.
    """
    dead = dead_values(space, partial(infeasible, data=known), seed=study.search.seed)
    problems = [Problem(f"space.{one.where}", one.rule, one.hint) for one in dead.problems]
    if dead.is_all:
        raise study.refusal(problems)
    return [
        f"no trial will have a value of {one.where}: {one.rule}" + (f" ({one.hint})" if one.hint else "")
        for one in problems
    ]


def _columns_asked_for(study: Study, space: Space, baselines: Sequence[NamedParams]) -> Iterator[Problem]:
    """Yield problems with data preparators that ask for columns of interactions that the study does not keep.

    RecTools would train without such a column, and fail when it recommends.
    """
    key = "data_preparator_kwargs.extra_cols"
    asked = [(f"space, {key}", value) for value in options(space, key)]
    asked += [(f"baseline {one.name}, {key}", one.params[key]) for one in baselines if key in one.params]
    for where, columns in asked:
        for name in columns if isinstance(columns, tuple) else ():
            if name not in study.data.extra_columns:
                rule = f"must be columns of data.extra_columns, but {name!r} is not"
                kept = ", ".join([*study.data.extra_columns, str(name)])
                yield Problem(where, rule, f"set `data.extra_columns: [{kept}]`")


def _former(source: Source) -> dict[str, object]:
    """Return values of facts by which earlier versions knew the same study."""
    return {} if source.former_fingerprint is None else {"data": source.former_fingerprint}


def _check_metrics(study: Study, source: Source) -> None:
    problems = list(metric_problems(study.metrics.all, item_features=source.item_features is not None))
    if problems:
        raise study.refusal(problems)


def study_space(study: Study) -> Space:
    """Return the space of a study: the space that it names, with the study's own changes.

    Raises
    ------
    SpaceError, StudyError
        If the space cannot be imported, is malformed, or has names that RecTools does not know.
    """
    space = _named_space(study)
    problems = _name_problems(study, space)
    if problems:
        raise study.refusal(problems)
    return space


def study_models(study: Study) -> tuple[Space, Sequence[NamedParams]]:
    """Return the space and the baselines of a study, after all checks that need no data.

    Raises
    ------
    SpaceError, StudyError
        With the problems of both.
    """
    space = _named_space(study)
    problems = _name_problems(study, space)
    baselines: Sequence[NamedParams] = ()
    try:
        baselines = resolve_baselines(study, space)
        problems.extend(_unknown_families(study, space, baselines))
    except StudyError as error:
        problems.extend(error.problems)
    problems.extend(_columns_asked_for(study, space, baselines))
    try:  # a wrong setting is found before a trial runs
        sampler = make_sampler(study.search.sampler, study.search.seed, space)
        if not problems:
            check_finite(sampler, space)
            n_objectives = 1 + len(study.metrics.further_objectives)
            try_sampler(study.search.sampler, study.search.seed, space, n_objectives=n_objectives)
    except StudyError as error:
        problems.extend(error.problems)
    if problems:
        raise study.refusal(problems)
    return space, baselines


def _unknown_families(study: Study, space: Space, baselines: Sequence[NamedParams]) -> Iterator[Problem]:
    """Yield a problem if the final judgement is to take the best of a family that the study cannot have."""
    keys = {parameter.key: None for parameter in space.parameters}
    searched = [families({**keys, "cls": cls}, searched=True) for cls in options(space, "cls")]
    named = [families(baseline.params, searched=False) for baseline in baselines]
    known = sorted({name for names in [*searched, *named] for name in names})
    for family in study.final.best if study.final is not None else ():
        if not is_of(family, known):
            rule = f"must be families of the study's models, but got {family!r}"
            yield Problem("final.best", rule, did_you_mean(family, known))


def _named_space(study: Study) -> Space:
    return study.space if isinstance(study.space, Space) else _read_space(study, study.space)


def _name_problems(study: Study, space: Space) -> list[Problem]:
    """Return the problems with names and values of the space, at the keys of the study that give them."""
    given = study.space.set if isinstance(study.space, SpaceSection) else {}
    return [
        replace(problem, where=f"space.{'set.' * (problem.where in given)}{problem.where}")
        for problem in space_problems(space)
    ]


def _read_space(study: Study, section: SpaceSection) -> Space:
    base = load_space(section.use) if section.use is not None else None
    known = tuple(class_paths(base)) if base is not None else ()
    domains: dict[str, Domain] = {}
    problems: list[Problem] = []
    for key, plain in section.set.items():
        try:
            domains[key] = domain_from_plain(key, plain, known)
        except (ValueError, TypeError) as error:
            problems.append(Problem.of(f"space.set.{key}", error))
    if not problems:
        try:
            return Space(domains) if base is None else base.narrow(domains)
        except SpaceError as error:
            problems = [Problem(f"space.set.{p.where}", p.rule, p.hint) for p in error.problems]
    raise study.refusal(problems)


def fold_line(fold: Fold) -> str:
    """Return the time borders and sizes of a fold as text."""
    facts: Mapping[str, Any] = fold.facts
    window = f"{str(facts['start'])[:10]} to {str(facts['end'])[:10]}, " if "start" in facts else ""
    train, test = quantity(facts["train"], "train interaction"), quantity(facts["test"], "test interaction")
    items, users = quantity(facts["train_items"], "item"), quantity(facts["train_users"], "user")
    return f"{window}{train} of {users} with {items}; {test} of {quantity(facts['test_users'], 'user')}"


def _facts(study: Study, source: Source, space: Space) -> dict[str, object]:
    constraints, further = study.search.constraints, study.metrics.further_objectives
    settings = {"min_user_interactions", "min_item_interactions", "duplicates", "numeric_features"}
    # Settings that a study does not use are left out, so that earlier studies have the same facts.
    data = study.data
    settings |= {"numeric_user_features"} if data.numeric_user_features else set()
    settings |= {"scaling"} if data.scaling != "none" else set()
    unused = {"splitter"} if study.folds.splitter is None else {"split", "size", "seed"}
    return {
        "data": source.fingerprint,
        "data settings": data.model_dump(mode="json", include=settings),
        "folds": study.folds.model_dump(mode="json", exclude=unused),
        "objective": study.metrics.objective.label,
        "objective options": dict(study.metrics.objective.options),
        **({"objective class": study.metrics.objective.name} if study.metrics.objective.is_own else {}),
        "direction": study.metrics.direction,
        "epochs": study.training.epochs,
        "precision": study.training.precision,
        **({"fast": "unpadded"} if study.training.fast == "unpadded" else {}),
        **({"evaluate users": users} if (users := study.training.evaluate_users) else {}),
        **({"devices": study.resources.n_devices} if study.resources.n_devices > 1 else {}),
        "seed": study.search.seed,
        **({"further objectives": further} if further else {}),
        **({"constraints": sorted(map(str, constraints))} if constraints else {}),
        **{f"{SPACE_FACT}{parameter.name}": repr(parameter.domain) for parameter in space.parameters},
    }
