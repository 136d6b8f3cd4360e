"""Makes an export: a folder with a fitted model and everything that it needs to recommend on another machine.

An export contains

    model.pickle           the fitted model, as `model.save` of RecTools writes it
    params.json            its flat params, as `model_from_params` takes them
    recommend.py           loads the model and recommends; needs no rectools-tuner
    asked.py, checksums.py, newer.py parts of recommend.py
    requirements.txt       exact versions of the packages that it needs
    code/                  source of modules that are not in a package
    interactions.parquet   interactions that it was fitted on and recommends from
    features.parquet       item features, if the study has some
    sample.csv             recommendations of the exporting process; `recommend.py --check` compares with them
    export.json            settings that the code needs, and where the export was made
    SHA256SUMS             checksums of all these files but the model card
    README.md              the model card
"""

__all__: list[str] = []
