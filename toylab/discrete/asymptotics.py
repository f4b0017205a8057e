"""What an estimator does with infinitely many data, and how far it is from that with n: sums over all states."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab.discrete.boltzmann_machine import BoltzmannMachine, check_machine
from toylab.discrete.inputs import check_precision

Loss = Callable[[BoltzmannMachine, Tensor], Tensor]


def expected_loss(loss: Loss, machine: BoltzmannMachine, truth: BoltzmannMachine) -> Tensor:
    """E[loss(machine, x)] for x from the truth, exact, a tensor without dimensions; gradients flow to the machine.

    ``expected_loss(loss, machine, truth) - expected_loss(loss, truth, truth)`` is the divergence that it stands for.
    """
    validate.function("loss", loss, "discrete.pseudo_likelihood", takes=2)
    check_machine("machine", machine)
    if check_machine("truth", truth).n_spins != machine.n_spins:
        raise ValueError(f"truth has {truth.n_spins} spins and machine {machine.n_spins}: give machines of one size.")
    mean: Tensor = truth.probabilities() @ _losses(loss, machine, truth.states)
    return mean


def loss_gradients(loss: Loss, machine: BoltzmannMachine) -> Tensor:
    """The gradient of loss(machine, x) in theta = machine.to_vector() for every state x, shape [2^n, m]."""
    validate.function("loss", loss, "discrete.pseudo_likelihood", takes=2)
    theta, states = check_machine("machine", machine).to_vector(), machine.states
    found: Tensor = torch.func.jacfwd(lambda t: _losses(loss, BoltzmannMachine.from_vector(t), states))(theta)
    return found


def asymptotic_covariance(
    gradients: Callable[[BoltzmannMachine], Tensor],
    theta: Tensor,
    *,
    family: Callable[[Tensor], BoltzmannMachine] = BoltzmannMachine.from_vector,
) -> Tensor:
    """Limit of N Cov(estimate) over N points from family(theta): H^-1 V H^-T, shape [p, p], exact.

    The estimate is where the mean gradient g over the points vanishes. V = E[g g^T] and H is the derivative of E[g] in
    theta under a fixed law, both at the truth. For maximum likelihood both are the Fisher information.
    Source: Huber 1967; van der Vaart 1998, "Asymptotic statistics", theorem 5.21.

    Args:
        gradients: of a machine, the gradients in its ``to_vector()`` for every state, [2^n, m]:
            ``partial(loss_gradients, pseudo_likelihood)``, ``contrastive_divergence_gradients``.
        theta: the true parameters, shape [p].
        family: the machine of the parameters; by default every coupling and field is free.
    """
    validate.function("gradients", gradients, "discrete.contrastive_divergence_gradients", takes=1)
    validate.function("family", family, "discrete.BoltzmannMachine.from_vector", takes=1)
    if not isinstance(theta, Tensor) or theta.ndim != 1:
        given = list(theta.shape) if isinstance(theta, Tensor) else type(theta).__name__
        raise TypeError(f"theta is {given}: give a 1-D tensor of parameters, as machine.to_vector() is.")
    check_precision("theta", theta)

    def machine(t: Tensor) -> BoltzmannMachine:
        return check_machine("what family gives", family(t))

    def g(t: Tensor) -> Tensor:
        in_theta: Tensor = _table(gradients, machine(t)) @ torch.func.jacfwd(lambda t: machine(t).to_vector())(t)
        return in_theta

    p, at_truth = machine(theta).probabilities().detach(), g(theta)
    V, H = at_truth.mT @ (p[:, None] * at_truth), torch.func.jacfwd(lambda t: p @ g(t))(theta)
    inverse, singular = torch.linalg.inv_ex(H)
    if bool(singular) or not bool(inverse.isfinite().all()):
        raise ValueError(
            f"the expected gradients have the singular derivative {short(H.tolist())} at theta: some parameter leaves "
            "them as they are. Is one given twice, or a coupling so strong that few states are left?"
        )
    covariance: Tensor = inverse @ V @ inverse.mT
    return covariance


def _losses(loss: Loss, machine: BoltzmannMachine, x: Tensor) -> Tensor:
    """One loss per state, or an error."""
    found = loss(machine, x)
    if not isinstance(found, Tensor) or found.shape != x.shape[:-1] or found.dtype != x.dtype:
        given = f"{list(found.shape)}, {found.dtype}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(f"loss gives {given} for {len(x)} states in {x.dtype}: it must give one number per state.")
    return found


def _table(gradients: Callable[[BoltzmannMachine], Tensor], machine: BoltzmannMachine) -> Tensor:
    """The gradients of every state, or an error."""
    found, theta = gradients(machine), machine.to_vector()
    wanted = (2**machine.n_spins, len(theta))
    if not isinstance(found, Tensor) or found.shape != wanted or found.dtype != theta.dtype:
        given = f"{list(found.shape)}, {found.dtype}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(
            f"gradients gives {given}: it must give {list(wanted)} in {theta.dtype}, one row per state. Of a loss take "
            "partial(loss_gradients, loss)."
        )
    return found
