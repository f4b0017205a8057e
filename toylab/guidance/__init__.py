"""Guidance: scores made of other scores, to be handed to any sampler.

The weight is that of the conditional score everywhere: 0 is no guidance, 1 the condition itself, more exaggerates it.
"""

from toylab.guidance.autoguidance import autoguidance
from toylab.guidance.classifier import class_log_probability, classifier
from toylab.guidance.classifier_free import classifier_free
from toylab.guidance.interval import on_interval

__all__ = [
    "autoguidance",
    "class_log_probability",
    "classifier",
    "classifier_free",
    "on_interval",
]
