"""Known slips of a step of Langevin: the factors of its drift and of its noise, and the law of the noise, in words."""

import torch

from toylab.testing.affine_evidence import AffineEvidence, Measured
from toylab.testing.affine_law import AffineLaw, Normal
from toylab.testing.affine_slips import langevin_law
from toylab.testing.claims import Langevin

_NEAR = 0.05  # relative, of a factor to a known one
_ROUNDING = 1e-6  # of a step's noise, float32 included
_DRIFTS = torch.linspace(-3, 6, 9001, dtype=torch.float64, device="cpu")
_SHAPES = (
    (-1.2, "a uniform number, rand for randn"),
    (-2.0, "a sign, where a normal number is meant"),
    (3.0, "a number of Laplace's law"),
    (6.0, "a normal number multiplied by a second normal one"),
    (105 / 9 - 3, "z |z|, where z is meant"),
)  # excess kurtosis, of one step


def explain_langevin(found: AffineEvidence, claim: Langevin, law: Normal, z: float) -> str:
    """What drift and noise are, in words; empty if the map is none of Langevin's."""
    if claim.n_steps == 1 and (said := _of_coordinates(found, claim, law, z)):
        return said
    drift, noise = _factors(found, claim, law)
    fitted = langevin_law(claim, law, drift, noise)
    eps, temperature, near = claim.step_size, claim.temperature, _is_near
    off = found.off(fitted, 1.5 * z)
    words = []
    if bool(off[[4, 5]].any()) and not bool(off[[0, 3, 6, 9]].any()):
        words.append(_of_a_mean(found, claim, law, noise, fitted))
    elif bool(off[[0, 3, 6, 9]].any()):
        return ""
    drifts = (
        (2.0, "the 1/2 of the drift is missing: it is eps s, where eps/2 s is meant"),
        (-1.0, "the sign of the drift: it goes down the slope of log p"),
        (-2.0, "the sign of the drift, and its 1/2 is missing"),
        (0.0, "the score has no part in the drift"),
        (0.5, "the drift is eps/4 s: its 1/2 is there twice"),
        (2 / eps, "the drift is s, without eps/2"),
        (1 / eps, "the drift is s/2, without eps"),
        (eps**-0.5, "the drift is sqrt(eps)/2 s, where eps/2 s is meant"),
    )
    noises = (
        (2.0 / temperature, "the noise is sqrt(2 eps) z, which belongs to a drift eps s"),
        (0.0, "no noise is added"),
        (1 / temperature, "the temperature has no part in the noise"),
        (temperature, "the noise is T sqrt(eps) z, where sqrt(T eps) z is meant"),
        (eps / temperature, "the noise is eps z, where sqrt(eps) z is meant"),
        (1 / (eps * temperature), "the noise is z, without sqrt(eps)"),
        (0.5 / temperature, "the noise is sqrt(eps/2) z, where sqrt(eps) z is meant"),
        (1 / 12 / temperature, "the variance of the noise is eps/12, that of a uniform number"),
    )
    if not near(drift, 1):
        named = [said for value, said in drifts if near(drift, value)]
        words.append(named[0] if named else f"the drift is {drift / 2:.3g} eps s, where 0.5 eps s is meant")
    if not near(noise, 1):
        named = [said for value, said in noises if near(noise, value)]
        variance = f"{noise * temperature:.3g} eps, where {temperature:.3g} eps is meant"
        words.append(named[0] if named else f"the variance of the noise is {variance}")
    if drift > 0.1 and noise > 0.01 and not near(noise / drift, 1):
        words.append(f"so the temperature is {noise * temperature / drift:.2g}, where {temperature:.3g} is claimed")
    return "; ".join(words)


def explain_shape(shape: Measured) -> str:
    """Why noise is not normal, from the means of He_3 and He_4, one per coordinate each."""
    skew, kurtosis = shape.mean[:2].tolist(), shape.mean[2:].tolist()
    told = ", ".join(f"{k:.2f}" for k in kurtosis)
    for value, words in _SHAPES:
        near = (shape.mean[2:] - value).abs() < 0.1 * max(1.0, abs(value)) + 3 * shape.error[2:]
        if bool(near.all()):
            return f"the noise is not normal: its excess kurtosis ({told}) is that of {words}"
    skewed = f"{skew[0]:.2f}, {skew[1]:.2f}"
    return f"the noise is not normal: its excess kurtosis is {told}, its skewness {skewed}, and 0 is right"


def _factors(found: AffineEvidence, claim: Langevin, law: Normal) -> tuple[float, float]:
    """So many times the drift, and the variance of the noise, of what is claimed: by weighted least squares."""
    diagonal = [0, 3, 6, 9]
    mean, one = found.map.mean[diagonal], langevin_law(claim, law)
    error = found.map.error[diagonal] + 1e-4 * torch.cat([one.slope.abs() + 1e-3, one.noise])
    each = 1 - _DRIFTS[:, None] * claim.step_size / (2 * law.variances)  # [drifts, 2]
    slopes = each**claim.n_steps
    unit = claim.temperature * claim.step_size * sum(each ** (2 * k) for k in range(claim.n_steps))
    weight = unit / error[2:]
    noise = ((weight * mean[2:] / error[2:]).sum(-1) / weight.square().sum(-1)).clamp(min=0)
    misfit = torch.cat([slopes - mean[:2], noise[:, None] * unit - mean[2:]], -1) / error
    i = int(misfit.square().sum(-1).argmin())
    return float(_DRIFTS[i]), float(noise[i])


def _is_near(value: float, known: float) -> bool:
    return abs(value - known) < _NEAR * abs(known) + 0.01 * (known == 0)


def _of_a_mean(found: AffineEvidence, claim: Langevin, law: Normal, noise: float, fitted: AffineLaw) -> str:
    """The ends lie where drift and noise of mean 0 would not lead."""
    pushed = law.axes @ (found.map.mean[4:6] - found.vector(fitted)[4:6])
    if claim.n_steps == 1:
        pushed = pushed / claim.step_size**0.5
        told = ", ".join(f"{m:.3f}" for m in pushed.tolist())
        half = bool(((pushed - 0.5).abs() < 0.02).all()) and _is_near(noise * claim.temperature, 1 / 12)
        uniform = ": it is uniform on [0, 1), rand for randn" if half else ""
        return f"the noise has a mean, ({told}) sqrt(eps), where 0 is right{uniform}"
    told = ", ".join(f"{m:.3g}" for m in pushed.tolist())
    return f"the ends are off by ({told}) in the mean: the noise has one, or the drift leads elsewhere than to p"


def _of_coordinates(found: AffineEvidence, claim: Langevin, law: Normal, z: float) -> str:
    """In words, if those of one step are correlated, and more than rounding."""
    covariance = law.axes @ found.map.mean[6:].reshape(2, 2) @ law.axes.T
    variance = float(covariance.diagonal().mean())
    least = 2 * z * float(found.map.error[6:].max()) + _NEAR * variance + _ROUNDING * claim.step_size
    if not abs(float(covariance[0, 1])) > least:
        return ""
    return (
        f"the noise of the two coordinates is correlated, by {float(covariance[0, 1]) / variance:.2f}: draw a number "
        "for each, torch.randn(x.shape, generator=g)"
    )
