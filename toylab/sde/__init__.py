"""Diffusions that turn data into noise: dx = f(t) x dt + g(t) dw, so that x_t | x_0 ~ N(alpha(t) x_0, sigma(t)^2 I).

The two functions determine f and g, and vice versa: alpha' = f alpha and (sigma^2)' = 2 f sigma^2 + g^2. Time
runs from 0, the data, to 1, the noise. The law of x_t is that of ``p.scaled(alpha).noised(sigma)``.

Source: Song et al. 2021 (arXiv:2011.13456), section 3 and appendix B.
"""

from toylab.sde.marginal_score import plain_noise, score_at
from toylab.sde.process import SDE, Time, require_sde
from toylab.sde.sub_vp import SubVP
from toylab.sde.ve import VE
from toylab.sde.vp import VP

__all__ = ["SDE", "VE", "VP", "SubVP", "Time", "plain_noise", "require_sde", "score_at"]
