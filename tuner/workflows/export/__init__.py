"""From a trial to a model that works elsewhere: a folder with the fitted model and all that it needs.

An export holds

    model.pickle           the fitted model, as `model.save` of RecTools writes it
    params.json            its flat params, as `model_from_params` takes them
    recommend.py           loads it and recommends; needs no rectools-tuner
    requirements.txt       exact versions of what is needed
    code/                  source of modules that are no package
    interactions.parquet   what it was fitted on and recommends from
    features.parquet       item features, where the study has some
    sample.csv             recommendations of the exporting process: `recommend.py --check` makes them again
    export.json            what the code must know
    README.md              the model card
"""

__all__: list[str] = []
