"""Guidance: scores made of other scores, to be handed to any sampler.

The weight is that of the conditional score everywhere: 0 is no condition, 1 the condition itself, more exaggerates it.
"""

from toylab.guidance.autoguidance import autoguidance
from toylab.guidance.classifier import class_log_probability, classifier
from toylab.guidance.classifier_free import classifier_free
from toylab.guidance.dps import dps
from toylab.guidance.interval import on_interval
from toylab.guidance.measured import MeasuredScore, Twist
from toylab.guidance.pigdm import pigdm
from toylab.guidance.tmpd import tmpd

__all__ = [
    "MeasuredScore",
    "Twist",
    "autoguidance",
    "class_log_probability",
    "classifier",
    "classifier_free",
    "dps",
    "on_interval",
    "pigdm",
    "tmpd",
]
