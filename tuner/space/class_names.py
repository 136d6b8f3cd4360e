"""Classes as text, written as ``get_params(simple_types=True)`` writes them.

This module does not import the classes. So the names in a study file can be checked without importing torch.
"""

from __future__ import annotations

from tuner.errors import did_you_mean

__all__ = ["class_path", "resolve_name", "short_name"]

_NN = "rectools.models.nn"
_TRANSFORMERS = f"{_NN}.transformers"

#: Import paths of RecTools' module classes by short name. A test compares each with the real class.
RECTOOLS_TYPES = {
    path.rsplit(".", 1)[1]: path
    for path in (
        f"{_TRANSFORMERS}.sasrec.SASRecDataPreparator",
        f"{_TRANSFORMERS}.sasrec.SASRecTransformerLayers",
        f"{_TRANSFORMERS}.bert4rec.BERT4RecDataPreparator",
        f"{_TRANSFORMERS}.hstu.STULayers",
        f"{_TRANSFORMERS}.ligr.LiGRLayers",
        f"{_TRANSFORMERS}.lightning.TransformerLightningModule",
        f"{_TRANSFORMERS}.negative_sampler.CatalogUniformSampler",
        f"{_TRANSFORMERS}.net_blocks.PreLNTransformerLayers",
        f"{_TRANSFORMERS}.net_blocks.LearnableInversePositionalEncoding",
        f"{_TRANSFORMERS}.similarity.DistanceSimilarityModule",
        f"{_TRANSFORMERS}.torch_backbone.TransformerTorchBackbone",
        f"{_NN}.item_net.SumOfEmbeddingsConstructor",
        f"{_NN}.item_net.IdEmbeddingsItemNet",
        f"{_NN}.item_net.CatFeaturesItemNet",
    )
}


def class_path(cls: type) -> str:
    """Return the import path of a class as RecTools writes it.

    RecTools writes its own models by name only: ``"SASRecModel"``. A class of a notebook or script has the
    path of a module that is made for it; see `tuner.space.cell_modules`.

    Raises
    ------
    SpaceError
        If a class of a notebook or script cannot be made a module.
    """
    if cls.__module__ == "__main__":
        from tuner.space.cell_modules import module_path  # noqa: PLC0415  # only then

        return module_path(cls)
    path = f"{cls.__module__}.{cls.__qualname__}"
    bases = {base.__name__ for base in cls.__mro__}
    if "ModelBase" in bases and path.startswith("rectools.models."):
        return cls.__qualname__
    return path


def short_name(value: object) -> str:
    """Return the last part of a class path, or any other value as text. Tables show it."""
    if isinstance(value, str) and "." in value:
        return value.rsplit(".", 1)[1]
    return str(value)


def resolve_name(key: str, value: object, known: tuple[object, ...] = ()) -> object:
    """Turn a short class name written for `key` into its import path.

    Parameters
    ----------
    key
        Flat key of the param. A key that ends with ``_type`` holds a module class, with ``_types`` a list.
    value
        The value that the user wrote.
    known
        Values that the key has in the space. Their short names are accepted too.

    Raises
    ------
    ValueError
        If `value` is a short name that is neither in `known` nor a module class of RecTools.
    """
    if key.endswith("_types") and isinstance(value, (list, tuple)):
        return [resolve_name(key, part, known) for part in value]
    if not key.endswith(("_type", "_types")) or not isinstance(value, str) or "." in value:
        return value
    names = RECTOOLS_TYPES | {short_name(option): str(option) for option in known}
    if value not in names:
        msg = (
            f"must be an import path or a short name known here, but got {value!r}; "
            f"{did_you_mean(value, list(names))}"
        )
        raise ValueError(msg)
    return names[value]
