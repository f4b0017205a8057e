"""Trained networks on disk: a plain dictionary of tensors and numbers, loaded without running any code from it."""

import os
import pickle
import warnings
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from toylab._internal import validate
from toylab._internal.display import reason, short
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.training.state import TrainingState

SavedNetwork = ScoreMLP | EnergyMLP | NoiseConditionalMLP

# 1 had no data_mean, which was 0, and the data_std of one network alone; 2 no n_classes, which was 0
_FORMAT, _VERSION = "toylab network", 3
_NETWORKS: dict[str, type[SavedNetwork]] = {
    "ScoreMLP": ScoreMLP,
    "EnergyMLP": EnergyMLP,
    "NoiseConditionalMLP": NoiseConditionalMLP,
    "NoiseConditionalEnergyMLP": NoiseConditionalEnergyMLP,
}
_ACTIVATIONS = {"softplus": functional.softplus, "silu": functional.silu, "tanh": torch.tanh, "relu": functional.relu}
_SETTINGS = {
    "ScoreMLP": ("width", "depth", "data_mean", "data_std"),
    "EnergyMLP": ("width", "depth", "data_mean", "data_std"),
    "NoiseConditionalMLP": ("width", "depth", "data_mean", "data_std", "gain", "sigma_unit", "n_classes"),
    "NoiseConditionalEnergyMLP": ("width", "depth", "data_mean", "data_std", "gain", "sigma_unit", "n_classes"),
}


def save(network: nn.Module, path: str | PathLike[str]) -> None:
    """Write a network of ``toylab.networks`` to a file that ``load`` reads.

    Raises:
        TypeError: for another kind of network, or an activation other than softplus, silu, tanh, relu; these have no
            name in the file. Save their ``state_dict()`` with ``torch.save``.
    """
    _write(path, _content(network))


def save_training(network: nn.Module, state: TrainingState | None, path: str | PathLike[str]) -> None:
    """Write where a training stands, with its first network if it is one of ``toylab.networks``.

    Raises:
        ValueError: if there is no state, as of a training that diverged.
    """
    if state is None:
        raise ValueError(
            "the fit has no state, as of a training that diverged: save its network by save(path), without state."
        )
    try:
        content = _content(network)
    except TypeError:  # of another kind, which whoever goes on hands over
        content = {"format": _FORMAT, "version": _VERSION}
    _write(path, {**content, "training": state.content()})


def load_training(path: str | PathLike[str]) -> TrainingState:
    """Read where a training stands, of a file that ``Fit.save(path, state=True)`` wrote."""
    content = _read(path, torch.device("cpu"))
    if "training" not in content:
        raise ValueError(f"{path} holds a network alone: to go on, save the fit by fit.save(path, state=True).")
    try:
        return TrainingState.of_content(content["training"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is a damaged toylab training: {reason(error)}. Save it again.") from error


def _write(path: str | PathLike[str], content: dict[str, Any]) -> None:
    """Write the file whole, or not at all."""
    part = Path(f"{os.fspath(_check_path(path))}.part")
    try:
        torch.save(content, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _content(network: nn.Module) -> dict[str, Any]:
    """A network as plain values and tensors, or raise ``TypeError`` if it cannot be read back from them."""
    kind = type(network).__name__
    if not isinstance(network, SavedNetwork) or _NETWORKS.get(kind) is not type(network):
        raise TypeError(f"network is a {kind}: save writes {', '.join(_NETWORKS)}. Use torch.save on its state_dict().")
    names = [name for name, activation in _ACTIVATIONS.items() if activation is network.activation]
    if not names:
        raise TypeError(
            f"the activation {short(network.activation)} has no name in the file: known are {', '.join(_ACTIVATIONS)}."
        )
    settings = {name: getattr(network, name) for name in _SETTINGS[kind]}
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    content = {"format": _FORMAT, "version": _VERSION, "kind": kind, "activation": names[0]}
    return {**content, "settings": settings, "weights": weights}


def load(path: str | PathLike[str], *, device: torch.device | str = "cpu") -> SavedNetwork:
    """Read a network written by ``save``, with ``torch.load(weights_only=True)``: nothing in the file is executed.

    Raises:
        ValueError: if the file is not one of ours, is damaged, or comes from a newer version.
        FileNotFoundError: if there is no such file.
    """
    device = validate.device(device)
    content = _read(path, device)
    if "kind" not in content and "training" in content:
        raise ValueError(
            f"{path} holds the training of a network that is none of toylab.networks: go on with it by "
            "fit(network, objective, data, resume=path), of a network like it."
        )
    try:
        activation = _ACTIVATIONS[content["activation"]]
        make: Callable[..., SavedNetwork] = _NETWORKS[content["kind"]]
        network = make(**content["settings"], activation=activation, generator=torch.Generator())
        weights = content["weights"]
        network.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    except (KeyError, TypeError, AttributeError, StopIteration, RuntimeError) as error:
        raise ValueError(f"{path} is a damaged toylab network: {error}. Save it again.") from error
    return network.to(device)


def _read(path: str | PathLike[str], device: torch.device) -> dict[str, Any]:
    """What is in a file of ours, or raise."""
    if not Path(_check_path(path)).exists():
        raise FileNotFoundError(f"path is {path}: there is no such file. Write one by training.save(network, path).")
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch muses about pickle protocols before it refuses
        try:
            content = torch.load(file, map_location=device, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, OSError, ValueError) as error:
            reason = "torch cannot read it as plain weights"
            raise ValueError(f"{path} is not a network saved by toylab, or is damaged: {reason}.") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{path} is not a network saved by toylab. Read it with torch.load instead.")
    if content.get("version") not in range(1, _VERSION + 1):
        raise ValueError(
            f"{path} has version {content.get('version')}; this toylab reads versions up to {_VERSION}. Update toylab."
        )
    return content


def _check_path(path: str | PathLike[str]) -> str | PathLike[str]:
    """Return ``path``, or raise ``TypeError``: ``open`` takes a whole number for a file that is open already."""
    if not isinstance(path, str | PathLike):
        raise TypeError(f"path is a {type(path).__name__}: give the name of a file, such as 'network.pt'.")
    return path
