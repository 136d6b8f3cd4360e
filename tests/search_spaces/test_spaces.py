"""The spaces that come with the tuner: every point of them can be built, and every option trains."""

from __future__ import annotations

import json
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pytest
import torch
from optuna.samplers import RandomSampler
from rectools.models import model_from_params
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

import search_spaces
from search_spaces.next_action import ShiftedNextActionDataPreparator
from tuner.config import Metric
from tuner.evaluation import Plan, evaluate_fold
from tuner.models import build as models
from tuner.models.build import build_model, trial_params
from tuner.models.signatures import options, space_problems
from tuner.space import Choice, Int, Space, load_space, short_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuner.data.folds import Fold
    from tuner.trials.records import Evaluation

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

SHIPPED = {
    "guide": ["space"],
    "transformers": ["ids_only", "optimised", "optimised_ids_only", "space"],
    "hstu": ["ids_only", "space", "stu_layers", "stu_layers_ids_only"],
    "classic": ["space", "with_categories", "with_lightfm"],
    "esasrec": ["space"],
    "everything": ["ids_only", "space"],
}
needs_lightfm = pytest.mark.skipif(find_spec("lightfm") is None, reason="needs rectools[lightfm]")
LIGHTFM = pytest.param("search_spaces.classic:with_lightfm", marks=needs_lightfm)
PATHS = [f"search_spaces.{module}:{name}" for module, names in SHIPPED.items() for name in names]
ALL = [LIGHTFM if "lightfm" in path else path for path in PATHS]

EPOCHS = 3  # RecTools' default
_BRANCH = {6: {"transformer_layers_kwargs.session_max_len": 6}}
#: What makes training quick; the number of options is as before or one.
TINY: dict[str, Any] = {
    "n_blocks": Int(1, 2),
    "n_factors": 8,
    "session_max_len": 6,
    "batch_size": 64,
    "n_negatives": Int(1, 8),
    "item_net_constructor_kwargs.emb_factors": 4,
    "similarity_module_kwargs.tower_factors": 4,
    "transformer_layers_kwargs.session_max_len": 6,
    "transformer_layers_kwargs.attention_dim": 4,
    "transformer_layers_kwargs.linear_hidden_dim": 3,
    "factors": Int(1, 8),
    "model.factors": Int(1, 8),
    "model.no_components": Int(1, 8),
    "epochs": Int(1, 3),
    "model.iterations": Int(1, 3),
    "model.K": Int(5, 20),
}
NEXT_ACTION = {"NextActionDataPreparator", "ShiftedNextActionDataPreparator"}
HIDDEN_TARGETS = {*NEXT_ACTION, "AllActionDataPreparator"}
TRANSFORMERS = {"SASRecModel", "BERT4RecModel", "HSTUModel"}


def suggestions(space: Space, seed: int = 60) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield random points of a space, as params and as Optuna holds them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    while True:
        trial = study.ask()
        yield space.suggest(trial), trial.params


def first(space: Space, n: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [point for point, _ in zip(suggestions(space), range(n), strict=False)]


def tiny(space: Space) -> Space:
    keys = {parameter.key for parameter in space.parameters}
    changes = {key: change for key, change in TINY.items() if key in keys}
    if "transformer_layers_kwargs.session_max_len" in keys:  # must equal the model's length
        del changes["transformer_layers_kwargs.session_max_len"]
        changes["session_max_len"] = Choice(_BRANCH)
    return space.narrow(changes)


def options_of(space: Space, flat: dict[str, Any], only: str | None = None) -> set[tuple[str, Any]]:
    """Return the options of choices that a point has, by the name of the param's place."""
    met: dict[str, Any] = {}
    found = set()
    for parameter in space.parameters:
        if not parameter.active(met):
            continue
        met[parameter.key] = flat[parameter.key]
        if isinstance(parameter.domain, Choice) and only in {None, parameter.key}:
            found.add((parameter.name, flat[parameter.key]))
    return found


def all_options(space: Space, only: str | None = None) -> set[tuple[str, Any]]:
    return {
        (parameter.name, option)
        for parameter in space.parameters
        if isinstance(parameter.domain, Choice) and only in {None, parameter.key}
        for option in parameter.domain.options
    }


def covering(space: Space, only: str | None = None, n: int = 1000) -> list[dict[str, Any]]:
    """Return few points that together have each option of each choice (or of the one given)."""
    points = [flat for flat, _ in first(space, n)]
    options = [options_of(space, flat, only) for flat in points]
    missing = all_options(space, only)
    assert missing <= set[tuple[str, Any]]().union(*options), "not every option can be reached"
    chosen = []
    while missing:
        best = max(range(n), key=lambda index: len(missing & options[index]))
        chosen.append(points[best])
        missing -= options[best]
    return chosen


def train(flat: dict[str, Any], fold: Fold) -> Evaluation:
    metrics = (Metric.parse("NDCG@5"), Metric.parse("CoveredUsers@5"))
    plan = Plan(metrics, metrics[0].label, "maximize", filter_viewed=True)
    reported: list[Evaluation] = []
    evaluate_fold(trial_params(flat, 1), fold, plan, 17, reported.append)
    return reported[-1]


def train_all(points: list[dict[str, Any]], fold: Fold) -> None:
    """Train, recommend and write down each of the points, and read it back."""
    for flat in points:
        evaluation = train(flat, fold)
        assert np.isfinite(list(evaluation.metrics.values())).all(), flat
        assert evaluation.metrics["CoveredUsers@5"] > 0, flat
        assert_params_survive_json(flat)


def assert_params_survive_json(flat: dict[str, Any]) -> None:
    printed = json.dumps(build_model(flat).get_params(simple_types=True))
    again = model_from_params(json.loads(printed))
    assert json.dumps(again.get_params(simple_types=True)) == printed


def check_point(flat: dict[str, Any]) -> None:
    """Check all that RecTools accepts though it cannot work, or ignores."""

    def chosen(key: str) -> str | None:
        return short_name(flat[key]) if key in flat else None

    model = flat["cls"]
    if model not in TRANSFORMERS:
        assert not any(key.endswith(("_type", "_types")) for key in flat)
        return
    objective, layers = chosen("data_preparator_type"), chosen("transformer_layers_type")
    assert flat["n_factors"] % flat["n_heads"] == 0
    assert ("n_negatives" in flat) == (flat["loss"] in {"BCE", "gBCE", "sampled_softmax"})
    assert ("negative_sampler_type" in flat) <= ("n_negatives" in flat)
    shares = ("popular_share", "in_batch_share")
    assert sum(flat.get(f"negative_sampler_kwargs.{share}", 0) for share in shares) <= 1
    assert ("lightning_module_kwargs.correct_log_q" in flat) == (flat["loss"] == "in_batch_softmax")
    assert flat.get("n_negatives", 1) >= 1
    assert ("gbce_t" in flat) == (flat["loss"] == "gBCE")
    assert ("mask_prob" in flat) == (model == "BERT4RecModel" and objective == "BERT4RecDataPreparator")
    assert flat.get("mask_prob", 1) >= 0.1
    if chosen("lightning_module_type") != "ObjectiveLightningModule":  # it scores what the targets need
        is_next_action = chosen("lightning_module_type") == "NextActionLightningModule"
        assert is_next_action == (objective in NEXT_ACTION)
    assert ("use_causal_attn" in flat) <= (objective in HIDDEN_TARGETS and layers != "STULayers")
    assert (model == "HSTUModel") <= (layers == "STULayers")
    if layers == "STULayers":
        assert model != "BERT4RecModel"
        assert "use_key_padding_mask" not in flat
        own = "transformer_layers_kwargs.session_max_len"
        assert flat.get(own, flat["session_max_len"]) == flat["session_max_len"]
        assert (model == "SASRecModel") == (own in flat)
    if layers == "AlbertLayers":
        assert flat["transformer_layers_kwargs.n_hidden_groups"] <= flat["n_blocks"]


def test_all_shipped_spaces_are_looked_at():
    found = {
        module.name: sorted(name for name, value in vars(loaded).items() if isinstance(value, Space))
        for module in pkgutil.iter_modules(search_spaces.__path__)
        for loaded in [import_module(f"search_spaces.{module.name}")]
    }
    assert {name: spaces for name, spaces in found.items() if spaces} == SHIPPED


@pytest.mark.parametrize("path", ALL)
def test_a_space_agrees_with_the_classes_it_names(path: str):
    assert space_problems(load_space(path)) == []


@pytest.mark.parametrize("path", ALL)
def test_300_points_can_be_built_and_differ(path: str):
    space = load_space(path)
    for flat, point in first(space, 300):
        assert space.encode(flat) == point
        assert space.decode(point) == flat
        check_point(flat)
        build_model(flat)


@pytest.mark.parametrize("path", ALL)
def test_baselines_can_be_built(path: str):
    for params in load_space(path).baselines.values():
        build_model(params)


@pytest.mark.parametrize("path", [path for path in PATHS if "classic" not in path])
def test_baselines_of_transformers_are_points_of_their_space(path: str):
    space = load_space(path)
    for params in space.baselines.values():
        if params["cls"] not in TRANSFORMERS:
            continue
        full = models._with_fixed(params, space)
        point = models.point_of(full, space, EPOCHS)
        assert point is not None, params
        assert full.items() <= space.decode(point).items()


MADE_WITHOUT_DATA = ("_init_similarity_module", "_init_pos_encoding_layer", "_init_transformer_layers")


@pytest.mark.parametrize("path", [path for path in PATHS if "classic" not in path and "stu" not in path])
def test_a_bare_model_and_its_point_have_the_same_modules(path: str):
    """What a model hands to its modules by itself is not what their signatures say: `HSTUModel` is one."""
    space = load_space(path)
    for cls in TRANSFORMERS & set(options(space, "cls")):
        bare = models._with_fixed({"cls": cls}, space)
        point = models.point_of(bare, space, EPOCHS)
        assert point is not None, cls
        of_the_point, of_itself = build_model(space.decode(point)), build_model(bare)
        for make in MADE_WITHOUT_DATA:
            one, other = getattr(of_the_point, make)(), getattr(of_itself, make)()
            assert repr(one) == repr(other)
            assert plain_state(one) == plain_state(other)


def plain_state(module: torch.nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if isinstance(value, (bool, int, float, str))}


def test_a_bare_hstu_is_the_point_with_cosines_and_scaled_positions():
    space = load_space("search_spaces.hstu:ids_only")
    point = models.point_of(models._with_fixed({"cls": "HSTUModel"}, space), space, EPOCHS)
    assert point is not None
    flat = space.decode(point)
    assert flat["similarity_module_kwargs.distance"] == "cosine"
    assert flat["pos_encoding_kwargs.use_scale_factor"] is True


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (
            "search_spaces.transformers",
            "data_preparator_type lightning_module_type item_net_constructor_type transformer_layers_type "
            "pos_encoding_type negative_sampler_type similarity_module_type backbone_type "
            "data_preparator_kwargs.shuffle_train lightning_module_kwargs.logits_t "
            "item_net_constructor_kwargs.emb_factors transformer_layers_kwargs.ff_activation "
            "transformer_layers_kwargs.bias_in_ff pos_encoding_kwargs.use_scale_factor "
            "similarity_module_kwargs.distance item_net_block_types use_causal_attn use_key_padding_mask "
            "use_pos_emb loss n_negatives gbce_t mask_prob batch_size lr dropout_rate session_max_len "
            "n_blocks n_heads n_factors train_min_user_interactions data_preparator_kwargs.unit "
            "data_preparator_kwargs.window negative_sampler_kwargs.popular_share "
            "negative_sampler_kwargs.in_batch_share similarity_module_kwargs.tower_factors "
            "similarity_module_kwargs.mlp_factors lightning_module_kwargs.correct_log_q",
        ),
        (
            "search_spaces.transformers:optimised",
            "lightning_module_kwargs.optimizer lightning_module_kwargs.weight_decay "
            "lightning_module_kwargs.betas lightning_module_kwargs.schedule lightning_module_kwargs.warmup "
            "lightning_module_kwargs.clip_by lightning_module_kwargs.clip",
        ),
        (
            "search_spaces.hstu",
            "relative_time_attention relative_pos_attention transformer_layers_kwargs.attn_dropout_rate "
            "transformer_layers_kwargs.epsilon similarity_module_kwargs.distance",
        ),
        (
            "search_spaces.hstu:stu_layers",
            "transformer_layers_kwargs.attention_dim transformer_layers_kwargs.linear_hidden_dim",
        ),
    ],
)
def test_every_option_of_the_models_is_in_a_space(path: str, keys: str):
    assert set(keys.split()) <= {parameter.key for parameter in load_space(path).parameters}


def test_everything_has_all_params_of_the_families():
    everything = {parameter.key for parameter in load_space("search_spaces.everything").parameters}
    for family in ("classic", "transformers", "hstu"):
        assert {p.key for p in load_space(f"search_spaces.{family}").parameters} <= everything


@pytest.mark.parametrize("path", ["search_spaces.everything", "search_spaces.everything:ids_only"])
def test_a_change_to_everything_reaches_all_models_that_have_the_param(path: str):
    space = load_space(path).narrow({"n_factors": 32})
    factors = [p.domain.only() for p in space.parameters if p.key == "n_factors"]
    assert factors == [32, 32, 32]


def test_everything_can_be_narrowed_to_some_models():
    space = load_space("search_spaces.everything").narrow({"cls": Choice("EASEModel", "HSTUModel")})
    assert {flat["cls"] for flat, _ in first(space, 20)} == {"EASEModel", "HSTUModel"}


@pytest.mark.skipif(find_spec("lightfm") is not None, reason="needs an environment without LightFM")
def test_lightfm_without_its_package_is_a_problem_of_the_space():
    (problem,) = space_problems(load_space("search_spaces.classic:with_lightfm"))
    assert "LightFMWrapperModel" in problem.rule


def test_a_study_names_its_own_category():
    space = load_space("search_spaces.classic:with_categories")
    space = space.narrow({"cls": "PopularInCategoryModel", "category_feature": "brand"})
    ((flat, _),) = first(space, 1)
    assert flat["category_feature"] == "brand"


# ####  --------------  Training  --------------  #### #


@pytest.fixture(scope="module")
def folds_without_features(interactions):
    from tuner.config import Data, Folds
    from tuner.data.folds import development_dataset, make_folds
    from tuner.data.source import Source

    section = Folds(split="last_n", size=2, n_folds=1, holdout=1)
    source = Source(interactions, None, "", 0, 0)
    return make_folds(development_dataset(source, Data(interactions="shop.csv"), section), section)


N_TRAINED = 30
#: Their options are those of `transformers:space` and `transformers:optimised_ids_only` together.
_COVERED = {"search_spaces.transformers:ids_only", "search_spaces.transformers:optimised"}


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in ALL if path is LIGHTFM or path not in _COVERED])
def test_30_points_train_with_every_option_among_them(
    path: str, folds: list[Fold], folds_without_features: list[Fold]
):
    """`everything` has too many options for 30 points: each of its models is there, the rest by chance."""
    space = tiny(load_space(path))
    points = covering(space, only="cls" if "everything" in path else None)
    others = (flat for flat, _ in suggestions(space) if flat not in points)
    points += islice(others, max(0, N_TRAINED - len(points)))
    assert len({repr(flat) for flat in points}) >= N_TRAINED
    train_all(points, (folds_without_features if "ids_only" in path else folds)[0])


# ####  --------------  Next action on SASRec's base  --------------  #### #

SESSIONS = [[1, 2], [4, 3, 8], [5, 1, 2, 6, 7]]


def batch_of(preparator_type: type[SASRecDataPreparator], n_negatives: int | None) -> dict[str, torch.Tensor]:
    preparator = preparator_type(
        session_max_len=4,
        batch_size=3,
        dataloader_num_workers=0,
        n_negatives=n_negatives,
        negative_sampler=None if n_negatives is None else CatalogUniformSampler(n_negatives),
        add_unix_ts=True,
    )
    preparator.item_id_map = type("Items", (), {"size": 9})()
    extras = [{"unix_ts": np.arange(len(items))} for items in SESSIONS]
    weights = [[float(item) for item in items] for items in SESSIONS]
    return preparator._collate_fn_train(list(zip(SESSIONS, weights, extras, strict=True)))


def test_shifted_next_action_has_sasrecs_inputs_and_only_its_last_target():
    batch = batch_of(ShiftedNextActionDataPreparator, None)
    sasrec = batch_of(SASRecDataPreparator, None)
    assert batch.keys() == sasrec.keys()
    assert batch["x"].tolist() == [[0, 0, 0, 1], [0, 0, 4, 3], [5, 1, 2, 6]]
    assert batch["y"].tolist() == [[2], [8], [7]]
    assert batch["yw"].tolist() == [[2.0], [8.0], [7.0]]
    assert torch.equal(batch["x"], sasrec["x"])
    assert torch.equal(batch["unix_ts"], sasrec["unix_ts"])


def test_shifted_next_action_draws_negatives_for_that_target():
    negatives = batch_of(ShiftedNextActionDataPreparator, 5)["negatives"]
    assert negatives.shape == (3, 1, 5)
    assert negatives.min() >= 1
    assert negatives.max() < 9
