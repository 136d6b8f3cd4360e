"""The sections `training` and `resources`: how a trial trains, and with what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from tuner.config.section import Section, read_duration, read_off

__all__ = ["Precision", "Resources", "Training"]

#: Reads false as null, for keys that both switch off.
_OFF = BeforeValidator(read_off)
#: Number formats in which a model can be trained.
Precision = Literal["float32", "tf32", "bf16"]
#: The least share of a resource: Ray counts in ten-thousandths.
_LEAST = 0.0001
#: Resources of Ray that are not given by name, and what to write instead.
_OF_RAY = {
    "CPU": "write resources.cpus_per_trial",
    "GPU": "write resources.gpus_per_trial",
    "object_store_memory": "leave it out: Ray does not reserve it for a trial",
}
#: Other names of these formats: those of torch, of Lightning and of people.
_PRECISIONS: dict[object, Precision] = {
    **dict.fromkeys(("32", "32-true", "fp32", "f32", "float", "single", 32), "float32"),
    **dict.fromkeys(("tfloat32", "tensorfloat32"), "tf32"),
    **dict.fromkeys(("bfloat16", "bf16-mixed"), "bf16"),
}
#: Names of formats of 16 bits that are not supported.
_HALF = ("16", "16-mixed", "16-true", "fp16", "f16", "float16", "half", "bf16-true", 16)
#: Which fast paths a fit takes.
Fast = bool | Literal["unpadded"]


class Training(Section):
    """How a trial trains a transformer model.

    Attributes
    ----------
    epochs
        The most epochs that a fold is trained for.
    evaluate_every
        Number of epochs between evaluations. The last epoch is always evaluated.
    evaluate_users
        Until the last evaluation of a fold, recommend to a fixed random sample of so many test users, not to
        all. The last evaluation is of all of them, and the value of a trial is the mean of the last ones.
        null: always all.
    patience
        End a fold's training after so many evaluations without a better objective. null: no limit.
    fast
        true: train by the fast paths, whose results equal those of RecTools up to rounding. false: train by
        RecTools' code alone. ``unpadded``: leave padding out as well, which changes the random numbers.
    precision
        ``float32``, ``tf32`` or ``bf16`` (Lightning's mixed precision). ``tf32`` has no effect without a GPU.
        On a GPU, ``tf32`` and ``bf16`` are faster and change the results. Lightning's names ``32-true`` and
        ``bf16-mixed`` are read as well.
    keep_checkpoints
        Retain the fitted models of so many trials, the best so far, with a model for each fold; see
        `tuner.store.fitted_models`.
    timeout
        The longest that a trial may take over all its folds. A trial that takes longer, for example because
        a module hangs, fails, and its worker process is ended. Of folds that run at once, each may take what
        the folds before them have left. null: no limit.
    """

    epochs: int = Field(default=10, ge=1)
    evaluate_every: int = Field(default=1, ge=1)
    evaluate_users: Annotated[int | None, _OFF] = Field(default=None, ge=1)
    patience: Annotated[int | None, _OFF] = Field(default=None, ge=1)
    fast: Fast = True
    precision: Precision = "float32"
    keep_checkpoints: int = Field(default=0, ge=0)
    timeout: Annotated[float | None, BeforeValidator(read_duration), _OFF] = None

    @field_validator("precision", mode="before")
    @classmethod
    def _read_precision(cls, plain: object) -> object:
        name = plain.lower() if isinstance(plain, str) else plain
        if isinstance(name, (str, int)) and name in _HALF:
            msg = (
                f"must be float32, tf32 or bf16, but got {plain!r}; of 16 bits there is bf16, which is mixed"
            )
            raise ValueError(msg)
        return _PRECISIONS.get(name, plain) if isinstance(name, (str, int)) else plain


def _own_resource(name: str) -> str:
    """Refuse a name that Ray has for something else, or cannot have."""
    if name in _OF_RAY:
        msg = f"must be the name of another resource, but got {name!r}; {_OF_RAY[name]}"
        raise ValueError(msg)
    if not name.strip() or not name.isprintable() or "_group_" in name:
        msg = f"must be the name of a resource, as the nodes have it, but got {name!r}"
        raise ValueError(msg)
    return name


class Resources(Section):
    """The resources of one trial, and how many trials run at once.

    Classic models, such as EASE and iALS, use CPUs only. GPUs, accelerators and `custom` are for models that
    are trained by steps.

    Attributes
    ----------
    cpus_per_trial
        CPUs that Ray reserves for a trial.
    gpus_per_trial
        GPUs that Ray reserves for a trial. With a fraction, several trials share a GPU. With 2 or more, a
        trial trains on all of them; see `devices`. ``auto`` measures the largest configuration on this
        machine's GPU and uses the smallest share in which it fits.
    devices
        Number of devices on which a trial trains together, by Lightning's DDP. Each device takes batches of
        its own, so the effective batch is `batch_size` times the devices. null: `gpus_per_trial` if it is 2
        or more, otherwise 1. Without GPUs, each device is a process with its part of `cpus_per_trial`.
    custom
        Further Ray resources that a trial on an accelerator needs, by name. ``memory`` is in bytes.
    accelerator_type
        The kind of accelerator that a trial needs, by Ray's name: ``A10G``, ``T4``, ``H100``.
    concurrency
        Number of trials at once. null: as many as fit, also while a cluster grows and shrinks.
    """

    cpus_per_trial: float = Field(default=1, ge=_LEAST)
    gpus_per_trial: Annotated[
        Annotated[Literal["auto"], Tag("auto")] | Annotated[float, Field(ge=0), Tag("share")],
        Discriminator(lambda share: "auto" if share == "auto" else "share"),
    ] = 0.0
    devices: int | None = Field(default=None, ge=1)
    custom: dict[Annotated[str, AfterValidator(_own_resource)], Annotated[float, Field(ge=_LEAST)]] = Field(
        default_factory=dict
    )
    accelerator_type: str | None = None
    concurrency: int | None = Field(default=None, ge=1)

    @property
    def gpu_share(self) -> float:
        """The share of a GPU as a number. ``auto`` must have been replaced by a measured share before."""
        assert self.gpus_per_trial != "auto", "the share is measured before it is used"
        return self.gpus_per_trial

    @property
    def n_devices(self) -> int:
        """Number of devices on which a trial trains."""
        if self.devices is not None:
            return self.devices
        return 1 if self.gpus_per_trial == "auto" else max(1, int(self.gpus_per_trial))

    @field_validator("cpus_per_trial", "gpus_per_trial")
    @classmethod
    def _check_share(cls, share: float | str) -> float | str:
        if isinstance(share, float) and share > 1 and share != int(share):
            msg = f"must be a fraction up to 1 or a whole number, but got {share:g}"
            raise ValueError(msg)
        if isinstance(share, float) and 0 < share < _LEAST:
            msg = f"must be 0 or at least {_LEAST}, but got {share:g}"
            raise ValueError(msg)
        return share

    @field_validator("devices")
    @classmethod
    def _check_devices(cls, devices: int | None, info: ValidationInfo) -> int | None:
        cpus, gpus = info.data.get("cpus_per_trial"), info.data.get("gpus_per_trial")
        if devices is None or cpus is None or gpus is None:  # one of the others is wrong
            return devices
        if gpus == 0 and devices > cpus:
            msg = f"must be at most cpus_per_trial without GPUs, which is {cpus:g}, but got {devices}"
            raise ValueError(msg)
        if gpus != 0 and devices != (1 if gpus == "auto" or gpus < 1 else gpus):
            given = gpus if gpus == "auto" else f"{gpus:g}"
            msg = (
                f"must be the whole GPUs of gpus_per_trial, which is {given}, but got {devices}; leave it out"
            )
            raise ValueError(msg)
        return devices
