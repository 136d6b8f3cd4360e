"""From flat params to models, and what is said of spaces and baselines before there is data."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rectools.models import EASEModel, SASRecModel

from search_spaces.guide import space as guide
from tuner.config import Metric, Study, study_from_mapping
from tuner.errors import StudyError, TrialError
from tuner.evaluation import Plan, evaluate_fold
from tuner.models.build import (
    CLASSIC_BASELINES,
    NamedParams,
    build_model,
    complete_params,
    point_of,
    reference_params,
    resolve_baselines,
    trial_params,
)
from tuner.models.signatures import space_problems
from tuner.space import Choice, Fixed, Float, Space

if TYPE_CHECKING:
    from tuner.data.folds import Fold
    from tuner.trials.records import Evaluation

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::FutureWarning",
        "ignore::UserWarning",
        "ignore::DeprecationWarning",
        "ignore:OpenBLAS:RuntimeWarning",
    ),
    pytest.mark.usefixtures("one_thread"),
]

NN = "rectools.models.nn.transformers"
PRE_LN = f"{NN}.net_blocks.PreLNTransformerLayers"
ALBERT_LAYERS = "search_spaces.albert.AlbertLayers"
ALBERT_ITEMS = "search_spaces.albert.AlbertSumConstructor"

OF_THE_GUIDE = {
    "popular",
    "sasrec",
    "next_action_bidirectional",
    "next_action_unidirectional",
    "albert",
    "alsasrec",
    "sasrec_albert_layers",
    "next_action_albert_causal",
}
IN_THE_GUIDE = (OF_THE_GUIDE - {"popular"}) | {"bert4rec"}
ALL = sorted(OF_THE_GUIDE | set(CLASSIC_BASELINES))


def study_of(*baselines: Any, reference: str | None = None, epochs: int = 10) -> Study:
    return study_from_mapping(
        {
            "study": "shop",
            "data": {"interactions": "shop.csv"},
            "folds": {"split": "last_n", "size": 1},
            "metrics": {"objective": "NDCG@10", "direction": "maximize", "reference": reference},
            "space": "search_spaces.guide",
            "baselines": list(baselines),
            "training": {"epochs": epochs},
        }
    )


def resolved(*baselines: Any, space: Space = guide) -> list[NamedParams]:
    return resolve_baselines(study_of(*baselines), space)


# ####  --------------  Building  --------------  #### #


def test_models_are_built_from_flat_params() -> None:
    model = build_model(
        {
            "cls": "SASRecModel",
            "n_blocks": 1,
            "transformer_layers_type": ALBERT_LAYERS,
            "transformer_layers_kwargs.n_inner_groups": 2,
            "item_net_block_types": ("rectools.models.nn.item_net.IdEmbeddingsItemNet",),
        }
    )
    assert isinstance(model, SASRecModel)
    assert model.n_blocks == 1
    assert model.transformer_layers_kwargs == {"n_inner_groups": 2}
    assert isinstance(build_model({"cls": "rectools.models.EASEModel"}), EASEModel)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"cls": "SASRecModel", "lrr": 1}, "lrr is no param of it$"),
        ({"cls": "PopularModel", "popularity": "most"}, "popularity must be one of .*, but got 'most'$"),
        (
            {"cls": "SASRecModel", "transformer_layers_type": "no.Such"},
            "ModuleNotFoundError: No module named",
        ),
        ({"cls": "Nope"}, "AttributeError: .*Nope"),
        ({"n_blocks": 1}, "ValueError: `cls` must be provided"),
    ],
)
def test_a_model_that_cannot_be_built_says_why(params: dict[str, Any], reason: str) -> None:
    with pytest.raises(TrialError, match=rf"^the model cannot be built: {reason}") as raised:
        build_model(params)
    assert raised.value.__cause__ is not None
    assert "\n" not in raised.value.message


def test_complete_params_are_those_of_the_model() -> None:
    complete = complete_params({"cls": "SASRecModel", "n_blocks": 3})
    printed = SASRecModel(n_blocks=3).get_params(simple_types=True)
    assert complete == {k: tuple(v) if isinstance(v, list) else v for k, v in printed.items()}
    assert complete_params(complete) == complete


def test_only_transformers_get_epochs() -> None:
    assert trial_params({"cls": "SASRecModel"}, 7) == {"cls": "SASRecModel", "epochs": 7}
    assert trial_params({"cls": "rectools.models.BERT4RecModel"}, 7)["epochs"] == 7
    assert trial_params({"cls": "SASRecModel", "epochs": 2}, 7)["epochs"] == 2
    for name in ("popular", "random", "ease", "ials", "item_knn", "pure_svd"):
        assert trial_params(CLASSIC_BASELINES[name], 7) == CLASSIC_BASELINES[name]


# ####  --------------  Spaces  --------------  #### #


def test_nothing_is_wrong_with_the_guides_space() -> None:
    assert space_problems(guide) == []
    narrow = {"cls": "BERT4RecModel", "transformer_layers_kwargs.n_hidden_groups": 1, "n_factors": 64}
    assert space_problems(guide.narrow(narrow)) == []


#: What each built-in class takes, from its documentation.
KWARGS = {
    "transformer_layers_type": {
        PRE_LN: ["ff_factors_multiplier"],
        f"{NN}.ligr.LiGRLayers": ["ff_factors_multiplier", "ff_activation", "bias_in_ff"],
        f"{NN}.hstu.STULayers": ["linear_hidden_dim", "attention_dim", "attn_dropout_rate", "epsilon"],
        ALBERT_LAYERS: ["ff_factors_multiplier", "n_hidden_groups", "n_inner_groups"],
    },
    "data_preparator_type": {
        f"{NN}.sasrec.SASRecDataPreparator": ["shuffle_train", "extra_cols", "add_unix_ts"],
        f"{NN}.bert4rec.BERT4RecDataPreparator": ["mask_prob", "shuffle_train"],
    },
    "lightning_module_type": {f"{NN}.lightning.TransformerLightningModule": ["logits_t"]},
    "similarity_module_type": {f"{NN}.similarity.DistanceSimilarityModule": ["distance"]},
    "pos_encoding_type": {f"{NN}.net_blocks.LearnableInversePositionalEncoding": ["use_scale_factor"]},
    "item_net_constructor_type": {ALBERT_ITEMS: ["emb_factors"]},
}


@pytest.mark.parametrize("key", KWARGS)
def test_kwargs_of_built_in_classes_are_known_and_misspelt_ones_are_not(key: str) -> None:
    classes = {path: dict.fromkeys(names) for path, names in KWARGS[key].items()}
    assert space_problems(Space({"cls": "SASRecModel", key: Choice(classes)})) == []
    for path, names in KWARGS[key].items():
        misspelt = {f"{name[:-1]}{name[-1] * 2}": Choice(1, 2) for name in names}
        problems = space_problems(Space({"cls": "SASRecModel", key: Choice({path: misspelt})}))
        assert [problem.hint for problem in problems] == [f"did you mean {name!r}?" for name in names]
        for problem, name in zip(problems, misspelt, strict=True):
            assert problem.where == f"{key.removesuffix('_type')}_kwargs.{name}"
            assert problem.rule == f"must be an argument of {path.rsplit('.', 1)[1]}, but is not"


SASREC_DATA, BERT_DATA = f"{NN}.sasrec.SASRecDataPreparator", f"{NN}.bert4rec.BERT4RecDataPreparator"
MODELS = Choice(
    {
        "SASRecModel": {"data_preparator_type": SASREC_DATA, "transformer_layers_type": PRE_LN},
        "BERT4RecModel": {
            "data_preparator_type": BERT_DATA,
            "transformer_layers_type": f"{NN}.sasrec.SASRecTransformerLayers",
        },
    }
)


@pytest.mark.parametrize(
    "more",
    [
        {"mask_prob": Float(0.1, 0.5, when={"data_preparator_type": BERT_DATA})},
        {"transformer_layers_kwargs.ff_factors_multiplier": Choice(1, 2, when={"cls": "SASRecModel"})},
    ],
    ids=["a param of one model", "a kwarg of one model's class"],
)
def test_a_param_of_one_model_is_compared_with_that_model_only(more: dict[str, Any]) -> None:
    assert space_problems(Space({"cls": MODELS, **more})) == []
    everywhere = {
        key: Choice(*domain.options) if isinstance(domain, Choice) else Float(0.1, 0.5)
        for key, domain in more.items()
    }
    assert [problem.where for problem in space_problems(Space({"cls": MODELS, **everywhere}))] == list(more)


def test_all_problems_of_a_space_are_reported_at_once() -> None:
    space = Space(
        {
            "cls": Choice("SASRecModel", "SASRecMode"),
            "lrr": Float(0.1, 0.2),
            "transformer_layers_type": Choice(
                {
                    PRE_LN: {"ff_factor_multiplier": Choice(1, 2)},
                    "search_spaces.albert.AlbertLayer": {},
                }
            ),
            "pos_encoding_type": "nowhere.Encoding",
        }
    )
    said = {(problem.where, problem.rule.split(" (")[0]): problem.hint for problem in space_problems(space)}
    importable = "put the class at the top level of a file next to the study file, and name it as file.Class"
    assert said == {
        (
            "cls",
            "must be a model of RecTools or an importable one, but got 'SASRecMode'",
        ): "did you mean 'SASRecModel'?",
        ("lrr", "must be a param of SASRecModel, but is not"): "did you mean 'lr'?",
        (
            "transformer_layers_type",
            "must be importable, but search_spaces.albert has no 'AlbertLayer'",
        ): "did you mean 'AlbertLayers'?",
        (
            "transformer_layers_kwargs.ff_factor_multiplier",
            "must be an argument of PreLNTransformerLayers, but is not",
        ): "did you mean 'ff_factors_multiplier'?",
        ("pos_encoding_type", "must be importable, but 'nowhere.Encoding' is not"): importable,
    }


@pytest.mark.parametrize(
    ("params", "rule", "hint"),
    [
        (
            {"data_preparator_kwargs.extra_cols": Choice("price", "page")},
            "must be a list, but got 'price'",
            "the list as the only value is [[price, page]]; a choice is [[A], [A, B]]",
        ),
        (
            {"data_preparator_kwargs.extra_cols": "price"},
            "must be a list, but got 'price'",
            "a list with it is [price], or [[price]] in a space",
        ),
        ({"data_preparator_kwargs.extra_cols": Choice(["price"], None)}, None, None),
        (
            {
                "lightning_module_type": "search_spaces.optimisation.OptimisedLightningModule",
                "lightning_module_kwargs.betas": Choice(0.9, 0.98),
            },
            "must be a list, but got 0.9",
            "the list as the only value is [[0.9, 0.98]]; a choice is [[A], [A, B]]",
        ),
        (
            {"n_factors": Choice([16, 32])},
            "must be an integer, but got (16, 32)",
            "a choice among them is [16, 32], or Choice(16, 32) in Python",
        ),
        (
            {"dropout_rate": Choice([0.1, 0.2])},
            "must be a number, but got (0.1, 0.2)",
            "a choice among them is [0.1, 0.2], or Choice(0.1, 0.2) in Python",
        ),
        ({"n_factors": 32.0}, "must be an integer, but got 32.0", "say 32"),
    ],
)
def test_lists_and_single_values_are_told_apart(
    params: dict[str, Any], rule: str | None, hint: str | None
) -> None:
    said = [(one.rule, one.hint) for one in space_problems(Space({"cls": "SASRecModel", **params}))]
    assert said == ([] if rule is None else [(rule, hint)])


def test_the_error_of_a_model_whose_module_cannot_be_imported_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model_that_quits.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (problem,) = space_problems(Space({"cls": "model_that_quits.Model"}))
    rule = "must be importable, but model_that_quits raises SystemExit: 3"
    line = "model_that_quits.py, line 1: raise SystemExit(3)"
    assert (problem.where, problem.rule, problem.hint) == ("cls", rule, line)
    (problem,) = space_problems(Space({"cls": "rectools.models.SASRecMode"}))
    assert problem.hint == "did you mean 'SASRecModel'?"


# ####  --------------  Baselines  --------------  #### #


@pytest.mark.parametrize("name", ALL)
def test_every_named_baseline_is_built(name: str) -> None:
    (baseline,) = resolved(name)
    assert baseline.name == name
    build_model(trial_params(baseline.params, epochs=2))
    assert (baseline.point is not None) == (name in IN_THE_GUIDE)


@pytest.mark.parametrize("name", sorted(IN_THE_GUIDE))
def test_a_baselines_point_is_the_same_model(name: str) -> None:
    (baseline,) = resolved(name)
    assert baseline.point is not None
    of_the_baseline = complete_params(baseline.params)
    of_the_point = complete_params(guide.decode(baseline.point))
    if "transformer_layers_kwargs.ff_factors_multiplier" not in of_the_baseline:
        # The space writes out what is the default of both classes that take it.
        assert of_the_point.pop("transformer_layers_kwargs.ff_factors_multiplier", 4) == 4
        of_the_point.setdefault("transformer_layers_kwargs", None)
        of_the_baseline.setdefault("transformer_layers_kwargs", None)
    assert of_the_point == of_the_baseline
    assert guide.encode(guide.decode(baseline.point), of_the_baseline) == baseline.point


SMALL = {"n_blocks": 2, "n_heads": 2, "n_factors": 16, "session_max_len": 6, "batch_size": 64, "lr": 0.01}
PLAN = Plan((Metric("NDCG", 10), Metric("Serendipity", 10)), "NDCG@10", "maximize", filter_viewed=True)


def evaluate(params: Any, fold: Fold, *, filter_viewed: bool = True, epochs: int = 1) -> Evaluation:
    reported: list[Evaluation] = []
    plan = replace(PLAN, filter_viewed=filter_viewed)
    evaluate_fold(trial_params(params, epochs), fold, plan, 3, reported.append)
    return replace(
        reported[-1],
        fit_seconds=0,
        evaluate_seconds=0,
        peak_memory=None,
        recommend_seconds=None,
        epoch_seconds=None,
    )


@pytest.mark.parametrize("name", sorted(IN_THE_GUIDE))
def test_a_baselines_point_gives_its_metrics(name: str, folds: list[Fold]) -> None:
    space = guide.narrow(SMALL)
    (baseline,) = resolved(name, space=space)
    assert baseline.point is not None
    assert evaluate(space.decode(baseline.point), folds[0]) == evaluate(baseline.params, folds[0])


def test_baselines_of_the_spaces_models_take_what_the_space_fixes() -> None:
    space = guide.narrow({"n_factors": 64, "lr": 0.003, "cls": "SASRecModel"})
    sasrec, popular, ease, bert4rec = resolved("sasrec", "popular", "ease", "bert4rec", space=space)
    assert sasrec.params == {"cls": "SASRecModel", "n_factors": 64, "lr": 0.003}
    assert sasrec.point is not None
    assert space.decode(sasrec.point)["n_factors"] == 64
    assert (popular.params, ease.params) == (CLASSIC_BASELINES["popular"], CLASSIC_BASELINES["ease"])
    assert (bert4rec.params, bert4rec.point) == ({"cls": "BERT4RecModel"}, None)


def test_a_baselines_own_values_have_priority_over_values_that_the_space_fixes() -> None:
    space = guide.narrow({"n_factors": 64})
    (wide,) = resolved({"name": "wide", "use": "sasrec", "params": {"n_factors": 128}}, space=space)
    assert wide.params == {"cls": "SASRecModel", "n_factors": 128}
    assert wide.point is None


@pytest.mark.parametrize("emb_factors", [Fixed(16), Choice(16, 32)], ids=["fixed", "searched"])
def test_a_baseline_that_takes_a_fixed_module_can_be_fitted(emb_factors: Any, folds: list[Fold]) -> None:
    changes = {
        "item_net_constructor_type": ALBERT_ITEMS,
        "item_net_constructor_kwargs.emb_factors": emb_factors,
    }
    (baseline,) = resolved("sasrec", space=guide.narrow({**SMALL, **changes}))
    evaluate(baseline.params, folds[0])


def test_baselines_outside_the_space_have_no_point() -> None:
    def point(**params: Any) -> Any:
        return resolved({"name": "mine", "params": {"cls": "SASRecModel", **params}})[0].point

    assert point() is not None
    assert point(lr=0.005) is not None
    assert point(lr=0.5) is None
    assert point(n_factors=100) is None
    assert point(use_pos_emb=False) is None, "no param of the space, and not at its default"
    assert point(use_pos_emb=True) is not None
    assert point(transformer_layers_type=PRE_LN) is not None


def test_a_baseline_may_change_a_named_one_or_be_new() -> None:
    small, own = resolved(
        {"name": "small", "use": "alsasrec", "params": {"item_net_constructor_kwargs.emb_factors": 16}},
        {
            "name": "own",
            "params": {
                "cls": "SASRecModel",
                "item_net_block_types": ["rectools.models.nn.item_net.IdEmbeddingsItemNet"],
            },
        },
    )
    assert small.params == {**guide.baselines["alsasrec"], "item_net_constructor_kwargs.emb_factors": 16}
    assert small.point is not None
    assert own.params["item_net_block_types"] == ("rectools.models.nn.item_net.IdEmbeddingsItemNet",)


KWARGS_OF_LAYERS = "transformer_layers_kwargs"


@pytest.mark.parametrize(
    ("params", "key", "hint"),
    [
        ({f"{KWARGS_OF_LAYERS}.a": 1}, f"{KWARGS_OF_LAYERS}.a", "valid: "),
        ({KWARGS_OF_LAYERS: {"a": 1}}, f"{KWARGS_OF_LAYERS}.a", "valid: "),
        (
            {"transformer_layers_type": PRE_LN, f"{KWARGS_OF_LAYERS}.ff_factor_multiplier": 2},
            f"{KWARGS_OF_LAYERS}.ff_factor_multiplier",
            "did you mean 'ff_factors_multiplier'?",
        ),
        ({"negative_sampler_kwargs": {"foo": 1}}, "negative_sampler_kwargs.foo", "valid: "),
        (
            {"data_preparator_kwargs": {"shufle_train": True}},
            "data_preparator_kwargs.shufle_train",
            "did you mean 'shuffle_train'?",
        ),
        ({"cls": "SASRecModle"}, "cls", "did you mean 'SASRecModel'?"),
        ({"cls": "EASEModel", "regularisation": 3}, "regularisation", "did you mean 'regularization'?"),
        ({"n_factors": 32.0}, "n_factors", ""),
        (
            {"transformer_layers_type": "PreLNTransformerLayer"},
            "transformer_layers_type",
            "did you mean 'PreLNTransformerLayers'?",
        ),
    ],
)
def test_a_baseline_is_checked_as_a_space_is(params: dict[str, Any], key: str, hint: str) -> None:
    with pytest.raises(StudyError) as raised:
        resolved({"name": "m5", "params": {"cls": "SASRecModel", **params}})
    (problem,) = raised.value.problems
    assert problem.where == f"baselines[0] m5, {key}"
    assert hint in f"{problem.rule} {problem.hint}"


def test_a_baseline_may_be_nested_and_name_classes_in_short() -> None:
    flat = {
        "cls": "SASRecModel",
        "transformer_layers_type": PRE_LN,
        "transformer_layers_kwargs.ff_factors_multiplier": 2,
    }
    nested = {
        "cls": SASRecModel,
        "transformer_layers_type": "PreLNTransformerLayers",
        "transformer_layers_kwargs": {"ff_factors_multiplier": np.int64(2)},
    }
    of_the_space = {"cls": "SASRecModel", "transformer_layers_type": "AlbertLayers"}
    one, other, third = resolved(
        {"name": "flat", "params": flat},
        {"name": "nested", "params": nested},
        {"name": "third", "params": of_the_space},
    )
    assert one.params == other.params == flat
    assert type(other.params["transformer_layers_kwargs.ff_factors_multiplier"]) is int
    assert third.params["transformer_layers_type"] == ALBERT_LAYERS


def test_a_baseline_may_have_all_params_that_a_model_prints() -> None:
    printed = SASRecModel(n_factors=64).get_params(simple_types=True)
    (baseline,) = resolved({"name": "printed", "params": printed})
    assert complete_params(baseline.params) == complete_params({"cls": "SASRecModel", "n_factors": 64})


def test_a_baseline_with_a_model_of_its_own_takes_nothing_from_the_space() -> None:
    space = guide.narrow({"n_factors": 64, "lr": 0.003})
    own, named = resolved({"name": "own", "params": {"cls": "SASRecModel"}}, "sasrec", space=space)
    assert own.params == {"cls": "SASRecModel"}
    assert own.point is None
    assert named.params == {"cls": "SASRecModel", "n_factors": 64, "lr": 0.003}


def test_a_model_of_its_own_does_not_start_from_the_one_of_its_name() -> None:
    (baseline,) = resolved({"name": "ease", "params": {"cls": "PopularModel"}})
    assert baseline.params == {"cls": "PopularModel"}


def test_all_impossible_baselines_are_reported_at_once_with_the_nearest_names() -> None:
    with pytest.raises(StudyError) as raised:
        resolve_baselines(
            study_of(
                "poplar",
                "ease",
                {"name": "x", "use": "albrt"},
                {"name": "qqqq", "params": {"lr": 0.1}},
                {"name": "y", "params": {"cls": "SASRecModel", "lrr": 1}},
                reference="esae",
            ),
            guide,
        )
    problems = {problem.where: (problem.rule, problem.hint) for problem in raised.value.problems}
    rule = "must be a named baseline or give `params` with a `cls`, but got "
    assert problems["baselines[0]"] == (f"{rule}'poplar'", "did you mean 'popular'?")
    assert problems["baselines[2]"] == (f"{rule}'albrt'", "did you mean 'albert'?")
    assert problems["baselines[3]"] == (f"{rule}'qqqq'", "valid: " + ", ".join(ALL))
    assert problems["baselines[4] y, lrr"] == (
        "must be a param of SASRecModel, but is not",
        "did you mean 'lr'?",
    )
    assert problems["metrics.reference"] == ("must name a baseline, but got 'esae'", "did you mean 'ease'?")
    assert len(problems) == 5
    assert raised.value.exit_code == 2


def test_reference_is_a_baseline_of_the_study_or_a_named_one() -> None:
    mine = {"name": "mine", "use": "popular", "params": {"popularity": "n_interactions"}}
    assert reference_params(study_of("ease"), guide) is None
    assert reference_params(study_of(reference="popular"), guide) == {"cls": "PopularModel"}
    assert reference_params(study_of(mine, reference="mine"), guide) == {
        "cls": "PopularModel",
        "popularity": "n_interactions",
    }
    assert reference_params(study_of(reference="sasrec", epochs=4), guide) == {
        "cls": "SASRecModel",
        "epochs": 4,
    }


# ####  --------------  As workers get the data  --------------  #### #

SMALL_CLASSIC = {
    "pure_svd": {"factors": 8},
    "ials": {"model.factors": 8, "model.iterations": 3},
    "sasrec": SMALL,
    "bert4rec": SMALL,
}


@pytest.fixture(scope="module")
def read_only(folds: list[Fold]) -> list[Fold]:
    """The folds as Ray's object store gives them to a worker: their arrays cannot be written to."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(folds, protocol=5, buffer_callback=buffers.append)
    shared: list[Fold] = pickle.loads(pickled, buffers=[bytes(buffer.raw()) for buffer in buffers])
    rows = shared[0].table.rows
    arrays = [rows.users, rows.items]  # numpy copies times, whatever the protocol
    assert not any(array.flags.writeable for array in arrays)
    return shared


@pytest.mark.parametrize("filter_viewed", [True, False])
@pytest.mark.parametrize("name", CLASSIC_BASELINES)
def test_models_work_on_shared_read_only_data(
    name: str, filter_viewed: bool, folds: list[Fold], read_only: list[Fold]
) -> None:
    params = {**CLASSIC_BASELINES[name], **SMALL_CLASSIC.get(name, {})}
    shared = evaluate(params, read_only[0], filter_viewed=filter_viewed)
    own = evaluate(params, folds[0], filter_viewed=filter_viewed)
    if name == "pure_svd":  # RecTools gives SciPy no seed by default, and SciPy starts somewhere
        assert shared.metrics == pytest.approx(own.metrics, abs=1e-6)
    else:
        assert shared == own
    assert shared.metrics["NDCG@10"] > 0


# ####  --------------  Points of a trial  --------------  #### #

TRIAL = {"cls": "SASRecModel", "n_blocks": 2, "transformer_layers_type": PRE_LN, "epochs": 7}
OF_THE_TRIAL: dict[str, Any] = {
    "cls": "SASRecModel",
    "n_blocks": Choice(1, 2),
    "transformer_layers_type": Choice(PRE_LN, ALBERT_LAYERS),
}
WITH_KWARGS = Choice({PRE_LN: {"ff_factors_multiplier": Choice(2, 4)}, ALBERT_LAYERS: {}})
FF_FACTORS = "transformer_layers_kwargs.ff_factors_multiplier@PreLNTransformerLayers"


@pytest.mark.parametrize(
    ("domains", "more"),
    [
        ({}, {}),
        ({"dropout_rate": Float(0.1, 0.5)}, {"dropout_rate": 0.2}),  # RecTools' default
        ({"dropout_rate": 0.2}, {}),
        ({"epochs": Choice(7, 9)}, {"epochs": 7}),  # the study's, which the trial had
        ({"transformer_layers_type": WITH_KWARGS}, {FF_FACTORS: 4}),  # of the module's signature
    ],
)
def test_what_a_trial_does_not_say_is_at_its_default(domains: dict[str, Any], more: dict[str, Any]) -> None:
    point = point_of(TRIAL, Space({**OF_THE_TRIAL, **domains}), epochs=7)
    assert point == {"n_blocks": 2, "transformer_layers_type": PRE_LN, **more}


@pytest.mark.parametrize(
    "domains",
    [
        {"dropout_rate": Float(0.3, 0.5)},
        {"dropout_rate": 0.3},
        {"n_blocks": Choice(3, 4)},
        {"cls": "BERT4RecModel"},
        {"epochs": Choice(8, 9)},
    ],
)
def test_a_trial_that_says_otherwise_lies_outside(domains: dict[str, Any]) -> None:
    assert point_of(TRIAL, Space({**OF_THE_TRIAL, **domains}), epochs=7) is None
    assert point_of(TRIAL, Space(OF_THE_TRIAL), epochs=3) is None, "of a study of other epochs"


def test_a_module_that_no_longer_exists_is_reported_where_it_is_needed() -> None:
    gone = {**TRIAL, "transformer_layers_type": "nowhere.Layers"}
    wider = Space({**OF_THE_TRIAL, "transformer_layers_type": Choice("nowhere.Layers", PRE_LN)})
    assert point_of(gone, wider, epochs=7) == {"n_blocks": 2, "transformer_layers_type": "nowhere.Layers"}
    with pytest.raises(TrialError, match="the model cannot be built"):
        point_of(gone, Space({**wider.domains, "dropout_rate": Float(0.1, 0.5)}), epochs=7)


#: Variables that a process finds in jobs of several tasks, by what has started it.
LAUNCHED = {
    "slurm": {
        "SLURM_JOB_ID": "1",
        "SLURM_NTASKS": "4",
        "SLURM_JOB_NAME": "search",
        "SLURM_LOCALID": "1",
        "SLURM_PROCID": "3",
        "SLURM_NODEID": "1",
    },
    "lsf": {
        "LSB_JOBID": "1",
        "LSB_DJOB_RANKFILE": "/nowhere/ranks",
        "JSM_NAMESPACE_LOCAL_RANK": "1",
        "JSM_NAMESPACE_RANK": "1",
        "JSM_NAMESPACE_SIZE": "2",
    },
    "pbs": {
        "PBS_JOBID": "1.head",
        "PBS_NODEFILE": "/nowhere/nodes",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "PMIX_RANK": "1",
        "PMI_SIZE": "2",
    },
    "torchrun": {
        "TORCHELASTIC_RUN_ID": "none",
        "RANK": "3",
        "LOCAL_RANK": "1",
        "GROUP_RANK": "1",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "10.255.255.1",
        "MASTER_PORT": "29500",
    },
    "kubernetes": {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "PET_NNODES": "2",
        "RANK": "1",
        "NODE_RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "job-master-0",
        "MASTER_PORT": "23456",
    },
}


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_the_tasks_of_a_job_are_not_the_processes_of_a_fit(monkeypatch, folds, one_thread, launcher):
    """Inside `sbatch -n 4` and its like, Lightning would take the job's variables for its own."""
    for name, value in LAUNCHED[launcher].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning reads it from RANK when it is imported
    params = {"cls": "SASRecModel", "epochs": 1, "n_factors": 8, "n_blocks": 1, "n_heads": 1}
    model = build_model({**params, "session_max_len": 8})
    model.fit(folds[0].train)
    assert model.fit_trainer.world_size == 1
    assert (model.fit_trainer.global_rank, model.fit_trainer.local_rank, rank_zero_only.rank) == (0, 0, 0)
    assert {name: os.environ[name] for name in LAUNCHED[launcher]} == LAUNCHED[launcher]


def test_variables_of_lightning_change_no_fit(monkeypatch, folds, one_thread):
    """Lightning takes defaults of a trainer, also of a subclass, from `PL_TRAINER_...`."""
    params = {"cls": "SASRecModel", "epochs": 1, "n_factors": 8, "n_blocks": 1, "session_max_len": 8}

    def fitted() -> tuple[list[torch.Tensor], Any]:
        torch.manual_seed(7)
        model = build_model(params)
        model.fit(folds[0].train)
        return list(model.torch_model.parameters()), model.fit_trainer

    plain, _ = fitted()
    for name, value in {
        "LIMIT_TRAIN_BATCHES": "0",
        "GRADIENT_CLIP_VAL": "0.001",
        "ACCELERATOR": "gpu",
    }.items():
        monkeypatch.setenv(f"PL_TRAINER_{name}", value)
    now, trainer = fitted()
    assert all(map(torch.equal, plain, now))
    assert (trainer.limit_train_batches, trainer.gradient_clip_val) == (1.0, None)
    assert os.environ["PL_TRAINER_LIMIT_TRAIN_BATCHES"] == "0", "the user's own code sees them as before"
