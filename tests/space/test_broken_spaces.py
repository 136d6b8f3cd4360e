"""Broken spaces: each gives one message with the key and a hint, and nothing else happens."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import pytest

from tuner.cli import main

STUDY = """
study: broken
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1}
metrics: {objective: NDCG@10, direction: maximize}
"""


@dataclass(frozen=True)
class Broken:
    """A space that cannot be used.

    Attributes
    ----------
    name
        What is wrong with it.
    key
        That its message begins with.
    says
        Parts of the message: the rule with the value, and the cure.
    params
        The `set` of the study, as YAML.
    module
        A Python file that the study uses: the content of ``Space({...})``, or a whole file with `space`.
    use
        A space to change.
    """

    name: str
    key: str
    says: tuple[str, ...]
    params: str = ""
    module: str = ""
    use: str = ""


def of_yaml(name: str, params: str, key: str, *says: str, use: str = "") -> Broken:
    """Return a broken `set`; a space of its own gets a model, unless it names one."""
    model = "" if use or "cls:" in params else "cls: SASRecModel\n"
    return Broken(name, key, says, model + dedent(params), use=use)


def of_python(name: str, params: str, key: str, *says: str) -> Broken:
    """Return a broken Python file."""
    model = "" if '"cls"' in params else '"cls": "SASRecModel", '
    return Broken(name, key, says, module=f"space = Space({{{model}{params}}})\n")


GUIDE = "search_spaces.guide"
PRE_LN = "rectools.models.nn.transformers.net_blocks.PreLNTransformerLayers"

BROKEN = [
    # --- names
    of_yaml("a misspelt param", "lrr: 0.1", "lrr", "must be a param of SASRecModel", "did you mean 'lr'?"),
    of_yaml(
        "a misspelt kwarg",
        "transformer_layers_type: {choice: {PreLNTransformerLayers: {ff_factor_multiplier: [1, 2]}}}",
        "transformer_layers_kwargs.ff_factor_multiplier",
        "must be an argument of PreLNTransformerLayers",
        "did you mean 'ff_factors_multiplier'?",
    ),
    of_yaml(
        "a misspelt kwarg of the default type",
        "similarity_module_kwargs.distanc: [dot, cosine]",
        "similarity_module_kwargs.distanc",
        "must be an argument of DistanceSimilarityModule",
        "did you mean 'distance'?",
    ),
    of_yaml(
        "a misspelt kwarg of a fixed type",
        "transformer_layers_type: PreLNTransformerLayers\ntransformer_layers_kwargs.ff_factor_multiplier: 2",
        "transformer_layers_kwargs.ff_factor_multiplier",
        "did you mean 'ff_factors_multiplier'?",
    ),
    of_yaml(
        "a kwarg that only another class takes",
        "transformer_layers_type:\n  choice:\n    SASRecTransformerLayers: {ff_factors_multiplier: [1, 2]}\n"
        "    PreLNTransformerLayers: {ff_factors_multiplier: [1, 2]}",
        "transformer_layers_kwargs.ff_factors_multiplier",
        "must be an argument of SASRecTransformerLayers",
        "PreLNTransformerLayers",
    ),
    of_yaml(
        "kwargs of a class that takes none",
        "backbone_type: {choice: {TransformerTorchBackbone: {depth: [1, 2]}}}",
        "backbone_kwargs.depth",
        "must be an argument of TransformerTorchBackbone",
    ),
    of_yaml(
        "a misspelt class of RecTools",
        "transformer_layers_type: PreLNTransformerLayer",
        "transformer_layers_type",
        "did you mean 'PreLNTransformerLayers'?",
    ),
    of_yaml(
        "a misspelt model",
        "cls: SASRecModle",
        "cls",
        "must be a model of RecTools",
        "did you mean 'SASRecModel'?",
    ),
    of_yaml("a class that is no model", f"cls: {PRE_LN}", "cls", "must be a model of RecTools"),
    of_yaml(
        "a model of another library", "cls: sklearn.linear_model.Ridge", "cls", "must be a model of RecTools"
    ),
    of_yaml("no model", "n_blocks: [1, 2]  # cls:", "cls", "must say which model to build, but is missing"),
    of_yaml("a model without a config", "cls: DSSMModel", "cls", "'DSSMModel' has no config"),
    of_yaml(
        "a param of a number", "n_blocks.x: 1", "n_blocks.x", "must be an integer, without params of its own"
    ),
    of_yaml(
        "kwargs as a whole",
        "transformer_layers_kwargs: {fixed: 5}",
        "transformer_layers_kwargs",
        "must be given one by one",
        "say `transformer_layers_kwargs.NAME: VALUE`",
    ),
    of_yaml(
        "a param that only another model has",
        "cls: [SASRecModel, BERT4RecModel]\nmask_prob: {float: [0.1, 0.5]}",
        "mask_prob",
        "must be a param of SASRecModel",
        "BERT4RecModel has it: say `when: {cls: BERT4RecModel}`",
    ),
    of_yaml(
        "a param of a model in a model, misspelt",
        "cls: ImplicitALSWrapperModel\nmodel.factor: 8",
        "model.factor",
        "did you mean 'model.factors'?",
    ),
    # --- classes
    of_yaml(
        "a class with another base",
        "transformer_layers_type: rectools.models.nn.item_net.IdEmbeddingsItemNet",
        "transformer_layers_type",
        "must be a subclass of RecTools' TransformerLayersBase",
    ),
    of_yaml(
        "a list of classes with another base",
        f"item_net_block_types: {{fixed: [{PRE_LN}]}}",
        "item_net_block_types",
        "must be a subclass of RecTools' ItemNetBase",
    ),
    of_yaml(
        "one class where a list belongs",
        "item_net_block_types: IdEmbeddingsItemNet",
        "item_net_block_types",
        "must be a list",
    ),
    of_yaml(
        "a misspelt class in a list",
        "item_net_block_types: {fixed: [IdEmbeddingItemNet]}",
        "item_net_block_types",
        "did you mean 'IdEmbeddingsItemNet'?",
    ),
    of_yaml(
        "a choice of classes where one of lists belongs",
        "item_net_block_types: [IdEmbeddingsItemNet, CatFeaturesItemNet]",
        "item_net_block_types",
        "must be a list",
    ),
    of_yaml(
        "a list where a class belongs",
        "transformer_layers_type: {fixed: [PreLNTransformerLayers]}",
        "transformer_layers_type",
        "must be a class, but got",
        "a choice among classes is [A, B]",
    ),
    of_yaml(
        "a path that cannot be imported",
        "transformer_layers_type: nowhere.Layers",
        "transformer_layers_type",
        "must be importable, but 'nowhere.Layers' is not",
        "put the class at the top level of a file next to the study",
    ),
    of_yaml(
        "a path to what is no class",
        "transformer_layers_type: rectools.models.base",
        "transformer_layers_type",
        "must be a class, but 'rectools.models.base' is <module",
        "give the import path of a class",
    ),
    of_yaml(
        "a class of __main__",
        "transformer_layers_type: __main__.Layers",
        "transformer_layers_type",
        "workers cannot import '__main__.Layers'",
        "put the class at the top level of a file next to the study",
    ),
    of_python(
        "a local class",
        '"transformer_layers_type": type("Mine", (), {"__qualname__": "make.<locals>.Mine"})',
        "transformer_layers_type",
        "workers cannot import",
    ),
    of_python(
        "a function",
        '"transformer_layers_type": lambda: None',
        "transformer_layers_type",
        "must be a class, text",
    ),
    of_python(
        "a built object",
        '"transformer_layers_type": object()',
        "transformer_layers_type",
        "must be a class, text",
    ),
    of_yaml("a number as a model", "cls: 5", "cls", "must be a model"),
    # --- shapes that are meant otherwise
    of_yaml(
        "kwargs as RecTools nests them",
        "transformer_layers_kwargs: {ff_factors_multiplier: [2, 4]}",
        "transformer_layers_kwargs",
        "must be a value, a list, or a mapping with one of choice, subset, int, float, fixed",
        "write `transformer_layers_kwargs.ff_factors_multiplier: [2, 4]`",
    ),
    of_yaml(
        "params of a classic model as RecTools nests them",
        "cls: ImplicitALSWrapperModel\nmodel: {factors: [16, 32]}",
        "model",
        "write `model.factors: [16, 32]`",
    ),
    of_yaml(
        "options with params, but no choice",
        "cls: {SASRecModel: {n_blocks: {int: [1, 2]}}}",
        "cls",
        "options with params are `cls: {choice: {SASRecModel: {'n_blocks': {'int': [1, 2]}}}}`",
    ),
    of_yaml("a misspelt word", "n_blocks: {itn: [1, 2], log: true}", "n_blocks", "did you mean 'int'?"),
    of_yaml(
        "a new model in a ready-made space",
        "cls: HSTUModel",
        "cls",
        "did you mean 'SASRecModel'? to add a new value, write {choice: [HSTUModel]}",
        use=GUIDE,
    ),
    of_python(
        "kwargs of a module as RecTools nests them",
        '"transformer_layers_kwargs": {"ff_factors_multiplier": Choice(2, 4)}',
        "transformer_layers_kwargs",
        'write "transformer_layers_kwargs.ff_factors_multiplier": ...',
    ),
    of_python(
        "options with params, but no Choice",
        '"loss": {"softmax": {}, "BCE": {"n_negatives": Int(1, 9)}}',
        "loss",
        "options with params are Choice({'softmax': ...})",
    ),
    of_python("a list within a choice", '"n_factors": Choice([16, 32])', "n_factors", "Choice(16, 32)"),
    Broken(
        "a space of a list", "params", ("must be domains by key, but got [1]",), module="space = Space([1])\n"
    ),
    of_yaml("three bounds", "n_blocks: {int: [1, 2, 3]}", "n_blocks", "a choice of values is [1, 2, 3]"),
    of_yaml("bounds in the wrong order", "lr: {float: [0.1, 0.01]}", "lr", "put the lower bound first"),
    of_yaml("a bound of real numbers", "n_blocks: {int: [1.0, 2]}", "n_blocks", "write 1"),
    of_yaml("an empty choice", "n_blocks: []", "n_blocks", "leave the key out for the default"),
    of_yaml("an option twice", "n_blocks: [1, 1]", "n_blocks", "remove one of them"),
    # --- conditions
    of_yaml(
        "a condition on an unknown key",
        "loss: [softmax, BCE]\nn_negatives: {int: [1, 9], when: {los: BCE}}",
        "n_negatives",
        "but got 'los'",
        "did you mean 'loss'?",
    ),
    of_yaml(
        "a condition on a later key",
        "n_negatives: {int: [1, 9], when: {loss: BCE}}\nloss: [softmax, BCE]",
        "n_negatives",
        "come before it, but got 'loss'",
        "put 'loss' before 'n_negatives'",
    ),
    of_yaml(
        "a condition that cannot be met",
        "loss: [softmax, BCE]\nn_negatives: {int: [1, 9], when: {loss: bce}}",
        "n_negatives",
        "but got 'bce'",
        "loss must be one of 'softmax', 'BCE'",
    ),
    of_yaml(
        "conditions that exclude each other",
        "loss: {choice: {softmax: {}, BCE: {n_negatives: {int: [1, 9], when: {loss: softmax}}}}}",
        "n_negatives",
        "conditions that can hold together",
        "remove one of them",
    ),
    of_yaml(
        "a condition without values",
        "loss: [softmax, BCE]\nn_negatives: {int: [1, 9], when: {loss: []}}",
        "n_negatives",
        "at least one value",
    ),
    of_yaml(
        "a condition that is no mapping",
        "n_negatives: {int: [1, 9], when: loss}",
        "n_negatives",
        "`when` must be a mapping from params to accepted values",
    ),
    of_yaml(
        "a condition on a real number",
        "lr: {float: [0.1, 0.2]}\nn_blocks: {int: [1, 2], when: {lr: 0.3}}",
        "n_blocks",
        "but got 0.3",
        "lr must be a number from 0.1 to 0.2",
    ),
    # --- relations
    of_yaml(
        "a relation on an unknown key",
        "n_factors: [8, 16]\nn_heads: {choice: [1, 2], divides: n_factor}",
        "n_heads",
        "but got 'n_factor'",
        "did you mean 'n_factors'?",
    ),
    of_yaml(
        "a relation on a later key",
        "n_heads: {choice: [1, 2], divides: n_factors}\nn_factors: [8, 16]",
        "n_heads",
        "come before it, but got 'n_factors'",
        "put 'n_factors' before 'n_heads'",
    ),
    of_yaml(
        "a relation on itself",
        "n_heads: {choice: [1, 2], divides: n_heads}",
        "n_heads",
        "a param cannot depend on itself",
    ),
    of_yaml(
        "a cycle of relations",
        "n_heads: {choice: [1, 2], at_most: n_blocks}\nn_blocks: {int: [1, 2], at_most: n_heads}",
        "n_heads",
        "n_heads and n_blocks depend on each other",
    ),
    of_yaml(
        "a relation on a categorical",
        "loss: [softmax, BCE]\nn_heads: {choice: [1, 2], divides: loss}",
        "n_heads",
        "its relation's 'loss' must have integer values",
    ),
    of_yaml(
        "a relation that leaves nothing",
        "n_factors: [8, 9]\nn_heads: {choice: [2, 4], divides: n_factors}",
        "n_heads",
        "must divide n_factors, but no value does with n_factors=9",
    ),
    of_yaml(
        "a relation of the wrong type",
        "n_heads: {choice: [1, 2], divides: 5}",
        "n_heads",
        "divides must name a param, but got 5",
    ),
    of_yaml(
        "a relation of text",
        "loss: {choice: [softmax, BCE], divides: n_factors}",
        "loss",
        "the options of a choice with a relation must be integers",
    ),
    of_yaml(
        "a bound that is unknown",
        "n_blocks: {int: [1, 4]}\nn_heads: {int: [1, n_block]}",
        "n_heads",
        "but got 'n_block'",
        "did you mean 'n_blocks'?",
    ),
    of_yaml(
        "a bound that is no integer",
        "lr: {float: [0.1, 0.2]}\nn_heads: {int: [1, lr]}",
        "n_heads",
        "its bound 'lr' must be an integer param",
    ),
    of_yaml(
        "a bound that exists only sometimes",
        "loss: [softmax, BCE]\nn_negatives: {int: [1, 4], when: {loss: BCE}}\n"
        "n_heads: {int: [1, n_negatives]}",
        "n_heads",
        "its bound 'n_negatives' must exist in every trial that has it",
    ),
    of_yaml(
        "a bound below the low one",
        "n_blocks: {int: [1, 4]}\nn_heads: {int: [2, n_blocks]}",
        "n_heads",
        "low <= n_blocks must hold, but low=2 and n_blocks can be 1",
    ),
    of_yaml(
        "a sum that is always too large",
        "n_blocks: {int: [1, 4]}\nn_heads: {int: [1, 4], sum_at_most: {total: 4, with: [n_blocks]}}",
        "n_heads",
        "must have a sum with n_blocks of at most 4, but no value does with n_blocks=4",
    ),
    of_yaml(
        "a relation to what exists only sometimes",
        "loss: [softmax, BCE]\nn_negatives: {int: [1, 4], when: {loss: BCE}}\n"
        "n_heads: {int: [1, 4], at_most: n_negatives}",
        "n_heads",
        "its relation's 'n_negatives' must exist in every trial that has it",
    ),
    # --- ranges
    of_yaml(
        "a reversed range",
        "lr: {float: [0.5, 0.1]}",
        "lr",
        "low <= high must hold, but got low=0.5, high=0.1",
    ),
    of_yaml(
        "a range without an end",
        "n_blocks: {int: [1]}",
        "n_blocks",
        "int must be [low, high], both included, but got [1]",
    ),
    of_yaml(
        "an empty range",
        "n_blocks: {int: []}",
        "n_blocks",
        "int must be [low, high], both included, but got []",
    ),
    of_yaml("a logarithm of zero", "lr: {float: [0, 0.1], log: true}", "lr", "log needs low > 0"),
    of_yaml(
        "a logarithm with a step",
        "lr: {float: [0.1, 0.5], log: true, step: 0.1}",
        "lr",
        "log needs low > 0 and no step",
    ),
    of_yaml(
        "a step larger than the range",
        "n_blocks: {int: [1, 4], step: 5}",
        "n_blocks",
        "step <= high - low must hold, but got low=1, high=4, step=5",
    ),
    of_yaml(
        "a step larger than the range of real numbers",
        "lr: {float: [0.1, 0.2], step: 0.5}",
        "lr",
        "step <= high - low must hold, but got low=0.1, high=0.2, step=0.5",
    ),
    of_yaml(
        "a step of zero",
        "n_blocks: {int: [1, 4], step: 0}",
        "n_blocks",
        "step >= 1 must hold, but got step=0",
    ),
    of_yaml("an infinite bound", "lr: {float: [0.1, .inf]}", "lr", "high must be finite, but got inf"),
    of_yaml(
        "a bound that is not a number", "lr: {float: [.nan, 1]}", "lr", "low must be finite, but got nan"
    ),
    of_yaml(
        "true where an integer belongs",
        "n_blocks: {int: [true, 4]}",
        "n_blocks",
        "low must be an integer, but got True",
    ),
    of_yaml(
        "text where a number belongs",
        "lr: {float: ['1e-4', 1]}",
        "lr",
        "low must be a number, but got '1e-4'",
    ),
    of_yaml(
        "a real number where an integer belongs",
        "n_blocks: {int: [1, 4.5]}",
        "n_blocks",
        "high must be an integer",
    ),
    of_yaml(
        "real numbers for an integer param",
        "n_blocks: {float: [1, 4]}",
        "n_blocks",
        "must be an integer, but got real numbers",
        "say `int`",
    ),
    of_yaml(
        "a value of the wrong type", "n_blocks: [two, 3]", "n_blocks", "must be an integer, but got 'two'"
    ),
    of_yaml(
        "a fixed value of the wrong type",
        "use_causal_attn: maybe",
        "use_causal_attn",
        "must be true or false, but got 'maybe'",
    ),
    of_yaml("a range of integers for text", "loss: {int: [1, 2]}", "loss", "must be text, but got 1"),
    of_yaml(
        "a logarithm of integers from zero",
        "n_blocks: {int: [0, 4], log: true}",
        "n_blocks",
        "log needs low >= 1",
    ),
    of_yaml(
        "integers with logarithm and step",
        "n_blocks: {int: [1, 4], log: true, step: 2}",
        "n_blocks",
        "log needs low >= 1 and step 1",
    ),
    of_yaml(
        "a step of zero for real numbers",
        "lr: {float: [0, 1], step: 0}",
        "lr",
        "step > 0 must hold, but got step=0",
    ),
    of_yaml(
        "one number for a range",
        "lr: {float: 3}",
        "lr",
        "float must be [low, high], both included, but got 3",
    ),
    # --- choices
    of_yaml(
        "a choice that is no list",
        "loss: {choice: BCE}",
        "loss",
        "choice must be a list or a mapping, but got 'BCE'",
    ),
    of_yaml(
        "a mapping as a value",
        "loss: {fixed: {a: 1}}",
        "loss",
        "must be a class, text, a number, true, false or null, but got {'a': 1}",
    ),
    of_yaml(
        "a number as a name",
        "loss: {choice: {BCE: {5: 1}}}",
        "loss",
        "the name of a param must be text, but got 5",
    ),
    of_yaml("a choice of nothing", "loss: []", "loss", "a choice needs at least one option"),
    of_yaml("an option twice", "loss: [BCE, softmax, BCE]", "loss", "'BCE' appears twice"),
    of_yaml(
        "params under an option that are not a mapping",
        "loss: {choice: {softmax: {}, BCE: 5}}",
        "loss",
        "the params under 'BCE' must be a mapping, but got 5",
    ),
    of_yaml(
        "two of one param",
        "loss: {choice: {softmax: {}, BCE: {n_negatives: 5}}}\nn_negatives: 9",
        "n_negatives",
        "must exist at most once in a trial",
        "give one of them a `when`",
    ),
    of_yaml("a key twice in YAML", "lr: 0.1\nlr: 0.2", "lr", "must be there once"),
    of_yaml(
        "kwargs of an option that is none",
        "transformer_layers_type: {choice: {PreLNTransformerLayers: {}, null: {n: 1}}}",
        "transformer_layers_type",
        "must be a class, but got None",
        "leave the key out",
    ),
    of_yaml(
        "kwargs under a class that is not there",
        "transformer_layers_type: [PreLNTransformerLayers]\ntransformer_layers_kwargs.n_hidden_groups:\n"
        "  int: [1, 2]\n  when: {transformer_layers_type: search_spaces.albert.AlbertLayers}",
        "transformer_layers_kwargs.n_hidden_groups",
        "but got 'search_spaces.albert.AlbertLayers'",
    ),
    of_yaml(
        "a subset of nothing",
        "item_net_block_types: {subset: []}",
        "item_net_block_types",
        "at least one option",
    ),
    of_yaml(
        "a subset of too many", "extra: {subset: [1, 2, 3, 4, 5, 6, 7, 8, 9]}", "extra", "at most 8 options"
    ),
    of_yaml(
        "a subset with more than there are",
        "extra: {subset: [1, 2], at_least: 3}",
        "extra",
        "0 <= at_least <= 2",
    ),
    of_yaml("a subset that is no list", "extra: {subset: 5}", "extra", "subset must be a list, but got 5"),
    of_yaml(
        "a misspelt class in a subset",
        "item_net_block_types: {subset: [IdEmbeddingNet]}",
        "item_net_block_types",
        "did you mean",
    ),
    # --- words
    of_yaml(
        "an unknown word",
        "n_blocks: {range: [1, 2]}",
        "n_blocks",
        "with one of choice, subset, int, float, fixed",
    ),
    of_yaml("a misspelt word", "n_blocks: {itn: [1, 2]}", "n_blocks", "did you mean 'int'?"),
    of_yaml(
        "two words",
        "n_blocks: {int: [1, 2], float: [1, 2]}",
        "n_blocks",
        "with one of choice, subset, int, float, fixed",
    ),
    of_yaml(
        "an unknown key of a word",
        "n_blocks: {int: [1, 2], lgo: true}",
        "n_blocks",
        "int takes no 'lgo'",
        "did you mean 'log'?",
    ),
    of_yaml(
        "a key of another word", "loss: {choice: [softmax, BCE], step: 1}", "loss", "choice takes no 'step'"
    ),
    of_yaml(
        "a name that YAML reads as true",
        "n_blocks: {int: [1, 2], when: {on: 1}}",
        "n_blocks",
        "must be text",
        "YAML reads on",
    ),
    # --- studies that change a space
    of_yaml(
        "narrowed to a value outside",
        "loss: BPR",
        "loss",
        "must be one of 'softmax', 'BCE', 'gBCE', 'sampled_softmax', but got 'BPR'",
        "to add a new value, write {choice: [BPR]}",
        use=GUIDE,
    ),
    of_yaml("narrowed to a misspelt value", "loss: sofmax", "loss", "did you mean 'softmax'?", use=GUIDE),
    of_yaml(
        "narrowed to true",
        "session_max_len: true",
        "session_max_len",
        "must be an integer, but got True",
        use=GUIDE,
    ),
    of_yaml(
        "a module that is not there",
        "transformer_layers_type: AlbrtLayers",
        "transformer_layers_type",
        "did you mean 'AlbertLayers'?",
        use=GUIDE,
    ),
    of_yaml(
        "a change of an unknown kwarg",
        "transformer_layers_kwargs.n_hiden_groups: 1",
        "transformer_layers_kwargs.n_hiden_groups",
        "did you mean 'n_hidden_groups'?",
        use=GUIDE,
    ),
    of_yaml(
        "a change of an unknown kwarg of a module that is not searched",
        "similarity_module_kwargs.distanc: dot",
        "similarity_module_kwargs.distanc",
        "did you mean 'distance'?",
        use=GUIDE,
    ),
    of_yaml("a change of an unknown param", "n_block: 1", "n_block", "did you mean 'n_blocks'?", use=GUIDE),
    of_yaml(
        "a change of what can no longer exist",
        "cls: SASRecModel\nmask_prob: 0.2",
        "mask_prob",
        "must depend on params that come before it",
        "or remove the dependency",
        use=GUIDE,
    ),
    Broken("a set that is no mapping", "set", ("must be a mapping, but got",), params="5", use=GUIDE),
    # --- spaces by path
    Broken(
        "a module that cannot be found",
        "use",
        (
            "must be an importable module, but got 'search_spaces.gide'",
            "did you mean 'guide'? search_spaces has: albert, ",
        ),
        use="search_spaces.gide",
    ),
    Broken("a file without a space", "use", ("broken_space has none called 'space'",), module="points = 5"),
    Broken(
        "a space of another name",
        "use",
        ("it has: broken_space:small",),
        module="small = Space({'cls': 'SASRecModel'})",
    ),
    Broken(
        "a file that is no Python", "use", ("broken_space raises SyntaxError", "line 4"), module="space = ("
    ),
    Broken(
        "a file that raises",
        "use",
        ("raises ZeroDivisionError", "broken_space.py, line 4: 1 / 0"),
        module="1 / 0",
    ),
    Broken(
        "a file that ends the process",
        "use",
        ("broken_space raises SystemExit: 3", "broken_space.py, line 5: sys.exit(3)"),
        module="import sys\nsys.exit(3)",
    ),
    of_python(
        "a reversed range in Python",
        '\n    "lr": Float(0.5, 0.1)',
        "use",
        "line",
        '"lr": Float(0.5, 0.1)',
        "low <= high must hold",
    ),
    of_python("a misspelt param in Python", '"lrr": 0.1', "lrr", "did you mean 'lr'?"),
    of_python(
        "a key twice in Python",
        '\n    "lr": 0.1,\n    "lr": 0.2',
        "lr",
        "must appear once, but is on lines 5 and 6",
        "remove one of the two",
    ),
    of_python(
        "a broken condition in Python",
        '"loss": Choice("softmax"), "n_negatives": Int(1, 2, when={"los": "BCE"})',
        "n_negatives",
        "did you mean 'loss'?",
    ),
]


@pytest.fixture
def run_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return what `tuner space` says of a study with a space, and its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def tell(broken: Broken) -> tuple[int, str]:
        section = f"  use: {broken.use}\n" if broken.use else ""
        if broken.module:
            text = f"from tuner.space import *\n\n\n{broken.module}"
            (tmp_path / "broken_space.py").write_text(text, encoding="utf-8")
            monkeypatch.delitem(sys.modules, "broken_space", raising=False)
            section = "  use: broken_space\n"
        if broken.params:
            section += "  set:\n" + indent(broken.params, "    ") + "\n"
        study = tmp_path / "study.yaml"
        study.write_text(f"{STUDY}space:\n{section}", encoding="utf-8")
        code = main(["space", str(study)])
        return code, capsys.readouterr().err

    yield tell
    sys.modules.pop("broken_space", None)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_space_gives_one_message_with_key_and_hint(broken: Broken, run_check) -> None:
    code, message = run_check(broken)
    source, problem, *_ = message.split("\n")
    assert code == 2
    assert source.endswith(": 1 problem"), message
    where = problem.strip().removeprefix("space.").removeprefix("set.")
    assert re.match(rf"{re.escape(broken.key)}( \(line \d+\))?: ", where), message
    for part in broken.says:
        assert part in message
    assert "Traceback" not in message
