"""A step recorded and replayed is the step itself: on the CPU by a tape that obeys the rules of a CUDA graph.

A CUDA graph holds the launches of a step and their memory, not its Python. ``Tape`` is the same thing for torch's CPU
kernels: it notes every operation with the tensors that it was given and gave, takes back what the recording did, and
replays the operations into the same memory. What reads a value of a tensor is refused, as by a graph.
"""

import functools
import importlib
from dataclasses import dataclass

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from toylab._internal import remembered as remembering
from toylab._internal import validate
from toylab._internal.cuda_graphs import WARM_UP, capture_step, changes_nothing
from toylab._internal.remembered import remembered
from toylab.densities import (
    Banana,
    Circle,
    FromEnergy,
    Points,
    StudentTMixture,
    _gaussians,
    _mixture,
    composite,
    fractal_tree,
    ring,
    two_modes,
)
from toylab.guidance import tmpd
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import (
    ContrastiveDivergence,
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    LogUniform,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoiseContrastive,
    NoisePrediction,
    Sliced,
    UniformTimes,
    gaussian,
    rademacher,
    sphere,
)
from toylab.samplers import (
    ancestral,
    ancestral_step,
    annealed_langevin,
    corrector_step,
    ddim,
    ddim_step,
    euler_step,
    flow_velocity,
    forward_sde,
    forward_sde_step,
    heun_step,
    hmc,
    langevin,
    langevin_step,
    mala,
    mala_init,
    mala_step,
    metropolis,
    predictor_corrector,
    probability_flow,
    reflected_langevin,
    reflected_langevin_step,
    replacement,
    reverse_sde,
    reverse_sde_heun,
    reverse_sde_heun_step,
    reverse_sde_step,
    rk4_step,
)
from toylab.schedules import geometric, uniform
from toylab.score import at
from toylab.sde import VE, VP, SubVP
from toylab.training import WeightAverage, fit

CPU = torch.device("cpu")
READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default}


def has_memory(leaf):
    """Whether it is a tensor, and not the zero of forward mode, which has none."""
    return isinstance(leaf, torch.Tensor) and not leaf._is_zerotensor()


class Tape(TorchDispatchMode):
    """Notes operations while it is active; ``replay`` repeats them."""

    def __init__(self, generator):
        super().__init__()
        self.notes, self.made, self.before, self.generator = [], set(), {}, generator

    def __torch_dispatch__(self, operation, kinds, arguments=(), keywords=None):
        keywords = keywords or {}
        if operation in READS:
            raise RuntimeError(f"{operation} reads a value: operation not permitted when stream is capturing")
        given = [leaf for leaf in tree_leaves((arguments, keywords)) if has_memory(leaf)]
        for tensor in given:
            storage = tensor.untyped_storage()._cdata
            if storage not in self.made and storage not in self.before:
                self.before[storage] = (tensor.untyped_storage(), tensor.untyped_storage().clone())
        results = operation(*arguments, **keywords)
        storages = {tensor.untyped_storage()._cdata for tensor in given}
        fresh = [
            (i, leaf) for i, leaf in enumerate(tree_leaves(results))
            if has_memory(leaf) and leaf.untyped_storage()._cdata not in storages
        ]  # fmt: skip
        self.made |= {leaf.untyped_storage()._cdata for _, leaf in fresh}
        self.notes.append((operation, arguments, keywords, fresh))
        return results

    def record(self, run):
        state = self.generator.get_state()
        try:
            with self:
                run()
        finally:
            self.take_back(state)
        return self.replay

    @torch.no_grad()
    def take_back(self, state):
        """A recording executes nothing."""
        self.generator.set_state(state)
        for storage, value in self.before.values():  # all of it: a tensor may be a part
            storage.copy_(value)
        for *_, fresh in self.notes:
            for _, leaf in fresh:
                if leaf.is_floating_point():
                    leaf.fill_(float("nan"))

    @torch.no_grad()
    def replay(self):
        for operation, arguments, keywords, fresh in self.notes:
            results = tree_leaves(operation(*arguments, **keywords))
            for i, leaf in fresh:
                leaf.copy_(results[i])


# a function is named like the module of fit, so that no import statement finds it
RECORDING = [importlib.import_module(f"toylab.{name}") for name in ("training.fit", "samplers.loop")]


@pytest.fixture
def taped(monkeypatch):
    """Lets fit and the samplers record on a tape; gives the tapes."""
    tapes = []

    def on_tape(step, device, *, generator=None, **rest):
        def record(run):
            tapes.append(Tape(generator or torch.default_generator))
            return tapes[-1].record(run)

        return capture_step(step, device, generator=generator, record=record, **rest)

    for module in RECORDING:
        monkeypatch.setattr(module, "capture_step", on_tape)
    # on the CPU, though not on a GPU, these look at times and levels, to refuse wrong ones
    monkeypatch.setattr(validate, "time", lambda t: t)
    # nor are values, on a GPU
    for module in (_mixture, validate):
        monkeypatch.setattr(module, "readable", lambda values: False)
    for module in (_gaussians, composite):
        monkeypatch.setattr(module, "too_far", lambda log_joint, dim: False)
    looked_at = validate.noise_level
    monkeypatch.setattr(
        validate, "noise_level", lambda s, x: s.to(x) if isinstance(s, torch.Tensor) else looked_at(s, x)
    )
    return tapes


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


SIGMAS = geometric(5.0, 0.5, 4)
TRAININGS = {
    "denoising": (Denoising(0.5), ScoreMLP),
    "control variate": (Denoising(0.5, control_variate=True), ScoreMLP),
    "noise prediction": (NoisePrediction(0.5), ScoreMLP),
    "sliced, plain": (Sliced(2, gaussian, variance_reduced=False), ScoreMLP),
    "sliced, on a sphere": (Sliced(projection=sphere), ScoreMLP),
    "log-uniform levels": (NoiseConditional(LogUniform(0.1, 5.0)), NoiseConditionalMLP),
    "levels of an SDE": (NoiseConditional(UniformTimes(VP())), NoiseConditionalMLP),
    "antithetic": (Denoising(0.5, antithetic=True), ScoreMLP),
    "explicit": (Explicit(two_modes().score), ScoreMLP),
    "implicit": (Implicit(), ScoreMLP),
    "implicit, forward mode": (Implicit(), functools.partial(ScoreMLP, activation=torch.tanh)),
    "implicit, energy": (Implicit(), EnergyMLP),
    "sliced": (Sliced(), ScoreMLP),
    "finite differences": (FiniteDifferenceSliced(), ScoreMLP),
    "noise-conditional": (NoiseConditional(SIGMAS, antithetic=True), NoiseConditionalMLP),
}


@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize("name", TRAININGS)
def test_training_on_tape_is_the_training(name, n_seeds, monkeypatch, taped):
    """To the last digit: weights, losses, and what the generator gives next, with a rate that changes."""
    objective, network = TRAININGS[name]

    def train():
        g = seeded()
        found = fit(network(8, generator=g), objective, two_modes(), n_steps=8, batch_size=16, n_seeds=n_seeds,
                    rate=lambda t: 1 - t / 3, report_every=3, generator=g, progress=False)  # fmt: skip
        return found, torch.randn(3, generator=g)

    found, then = train()
    assert len(taped) == 1
    monkeypatch.undo()
    expected, then_expected = train()
    assert torch.equal(then, then_expected)
    for one, other in zip(found.networks, expected.networks, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    for one, other in zip(found.histories, expected.histories, strict=True):
        assert one.steps.tolist() == other.steps.tolist() == [3, 6, 8]
        assert torch.equal(one.loss, other.loss)


@dataclass(frozen=True)
class Looking:
    """An objective that may be recorded but cannot be: it reads a value, when the weights have got their gradients."""

    def __call__(self, score, x, *, generator=None):
        x = x.detach().requires_grad_()
        x.register_hook(lambda gradient: print(end=f"{float(gradient.sum())}"[:0]))
        return Denoising(0.5)(score, x, generator=generator)


def test_training_goes_on_where_a_recording_fails(monkeypatch, taped):
    def train(objective):
        g = seeded()
        return fit(ScoreMLP(8, generator=g), objective, two_modes(), n_steps=8, batch_size=16, learning_rate=2**-8,
                   rate=lambda t: 1 - t / 2, generator=g, progress=False)  # fmt: skip

    with pytest.warns(RuntimeWarning, match="cannot be recorded as a CUDA graph"):
        found = train(Looking())
    monkeypatch.undo()
    assert torch.equal(found.history.loss, train(Denoising(0.5)).history.loss)


def test_training_from_points_on_tape(monkeypatch, taped):
    points = two_modes().sample((50,), generator=seeded(0))

    def train():
        g = seeded()
        return fit(ScoreMLP(8, generator=g), Sliced(), points, n_steps=8, batch_size=16, generator=g, progress=False)

    found = train()
    assert len(taped) == 1
    monkeypatch.undo()
    torch.testing.assert_close(found.history.loss, train().history.loss, rtol=1e-4, atol=1e-5)


P, X = ring(), 3 * torch.randn(40, 2, generator=torch.Generator().manual_seed(7))
NETWORK = NoiseConditionalMLP(8, generator=torch.Generator().manual_seed(8)).requires_grad_(False)
TIMES = uniform(0.9, 0.1, 13)


def drawing_nothing(settings):
    return {name: value for name, value in settings.items() if name != "generator"}


SAMPLINGS = {
    "langevin": lambda s: langevin(P.score, X, step_size=0.05, n_steps=12, **s),
    "langevin, a schedule": lambda s: langevin(P.score, X, step_size=lambda k: 0.1 / (k + 1), n_steps=12, **s),
    "langevin, tempered": lambda s: langevin(P.score, X, step_size=0.05, n_steps=12, temperature=0.3, **s),
    "langevin, noised": lambda s: langevin(at(P.score, 0.5), X, step_size=0.05, n_steps=12, **s),
    "langevin, double": lambda s: langevin(P.score, X.double(), step_size=0.05, n_steps=12, **s),
    "reflected": lambda s: reflected_langevin(
        P.score, X.double().clamp(-2, 2), low=(-2, -2), high=(2, float("inf")), step_size=0.5, n_steps=12, **s
    ),
    "mala, a schedule": lambda s: mala(P.log_prob, P.score, X, step_size=lambda k: 0.2 / (k + 1), n_steps=12, **s),
    "hmc, a schedule": lambda s: hmc(
        P.log_prob, P.score, X, step_size=lambda k: 0.2 / (k + 1), n_leapfrog=3, n_steps=12, **s
    ),
    "metropolis, a schedule": lambda s: metropolis(P.log_prob, X, step_size=lambda k: 0.2 / (k + 1), n_steps=12, **s),
    "annealed, a schedule": lambda s: annealed_langevin(
        P.score, X, SIGMAS, step_size=lambda k: 0.2 / (k + 1), n_steps=7, **s
    ),
    "annealed": lambda s: annealed_langevin(P.score, X, SIGMAS, step_size=0.1, n_steps=7, denoise=True, **s),
    "annealed, a network": lambda s: annealed_langevin(NETWORK, X, SIGMAS, step_size=0.1, n_steps=7, **s),
    "mala": lambda s: mala(P.log_prob, P.score, X, step_size=0.1, n_steps=12, **s),
    "mala, preconditioned": lambda s: mala(
        P.log_prob, P.score, X, step_size=0.1, n_steps=12, preconditioner=torch.tensor([[2.0, 0.5], [0.5, 1.0]]), **s
    ),
    "mala on a kernel estimate": lambda s: mala(
        (q := Points(X).noised(0.5)).log_prob, q.score, X, step_size=0.1, n_steps=12, **s
    ),
    "hmc": lambda s: hmc(P.log_prob, P.score, X, step_size=0.1, n_leapfrog=3, n_steps=12, **s),
    "metropolis": lambda s: metropolis(P.log_prob, X, step_size=0.1, n_steps=12, **s),
    "reverse SDE": lambda s: reverse_sde(VP(), P.score, X, TIMES, **s),
    "reverse SDE, a network": lambda s: reverse_sde(VP(), NETWORK, X, TIMES, **s),
    "reverse SDE, double": lambda s: reverse_sde(VE(), P.score, X.double(), TIMES, **s),
    "reverse SDE by Heun": lambda s: reverse_sde_heun(SubVP(), P.score, X, TIMES, **s),
    "predictor and corrector": lambda s: predictor_corrector(VP(), P.score, X, TIMES, n_corrections=2, **s),
    "ancestral": lambda s: ancestral(VP(), P.score, X, TIMES, **s),
    "replacement": lambda s: replacement(VP(), P.score, X, TIMES, [0.6, 0.8], 1.0, 0.5, n_resamplings=2, **s),
    "reverse SDE, measured": lambda s: reverse_sde(VE(), tmpd(P.score, [0.6, 0.8], 1.0, 0.5), X, TIMES, **s),
    "DDIM": lambda s: ddim(VP(), P.score, X, TIMES, **drawing_nothing(s)),
    "flow": lambda s: probability_flow(VP(), P.score, X, TIMES, **drawing_nothing(s)),
    "flow by Euler": lambda s: probability_flow(VE(), P.score, X, TIMES, step=euler_step, **drawing_nothing(s)),
    "flow by RK4, a network": lambda s: probability_flow(
        SubVP(), NETWORK, X, TIMES, step=rk4_step, **drawing_nothing(s)
    ),
    "forward SDE": lambda s: forward_sde(VP(), X, TIMES.flip(0), **s),
}


@pytest.mark.parametrize("name", SAMPLINGS)
def test_sampling_on_tape_is_the_sampling(name, monkeypatch, taped):
    def sample():
        g = seeded()
        return SAMPLINGS[name]({"keep_every": 3, "generator": g, "progress": False}), torch.randn(3, generator=g)

    start = X.clone()
    found, then = sample()
    assert len(taped) == (4 if "annealed" in name else 1)
    monkeypatch.undo()
    expected, then_expected = sample()
    assert torch.equal(then, then_expected)
    assert torch.equal(X, start)
    assert found.n_evaluations == expected.n_evaluations
    assert found.path.shape == expected.path.shape
    for part in ("samples", "path", "acceptance", "labels"):
        torch.testing.assert_close(getattr(found, part), getattr(expected, part), rtol=1e-4, atol=1e-4)


def test_first_calls_are_ordinary_and_later_ones_leave_python_out():
    ran = []

    def step(x, shift):
        ran.append(1)
        return x + shift

    g = seeded()
    again = capture_step(step, CPU, record=Tape(g).record)
    x = torch.zeros(2)
    for k in range(10):
        x = again(x, float(k % 3))
    assert x.tolist() == [9, 9]
    assert len(ran) == WARM_UP + 1


def test_results_hold_until_the_next_call():
    again = capture_step(lambda x: x + 1, CPU, record=Tape(seeded()).record)
    given = [torch.full((2,), float(k)) for k in range(WARM_UP + 2)]
    results = [again(x) for x in given]
    assert [x.tolist() for x in given] == [[k, k] for k in range(WARM_UP + 2)]  # a replay writes into none of them
    assert results[-1] is not results[0]
    assert results[-2].tolist() == results[-1].tolist() == [WARM_UP + 2] * 2
    assert results[WARM_UP - 1].tolist() == [WARM_UP] * 2


@pytest.mark.parametrize("look", [lambda x: float(x.sum()), lambda x: x.nonzero(), lambda x: bool((x > 0).all())])
def test_a_step_that_looks_at_its_values_goes_on_as_it_is(look):
    def step(x):
        look(x)
        return x + 1

    again, x = capture_step(step, CPU, record=Tape(seeded()).record), torch.ones(2)
    with pytest.warns(RuntimeWarning, match="cannot be recorded as a CUDA graph"):
        for _ in range(WARM_UP + 3):
            x = again(x)
    assert x.tolist() == [WARM_UP + 4] * 2


def test_a_generator_elsewhere_is_told():
    with pytest.warns(RuntimeWarning, match=r"generator lives on the cpu. Give torch.Generator\('cuda'\)"):
        step = capture_step(torch.neg, torch.device("cuda"), generator=seeded())
    assert step is torch.neg


class Counts:
    def __init__(self):
        self.n = 0

    def __call__(self, x):
        self.n += 1
        return -x


class CountedStep(Counts):
    def __call__(self, score, x, *, generator=None):
        return super().__call__(x)


def test_functions_that_may_change_are_not_recorded():
    for f in (
        lambda x: -x, Counts(), Explicit(lambda x: -x), at(lambda x, sigma: -x, 0.1), at(Counts(), 0.1),
        functools.partial(Counts()), functools.partial(langevin_step, step_size=Counts()),
        ContrastiveDivergence(functools.partial(CountedStep())),
    ):  # fmt: skip
        assert not changes_nothing(f)
        with pytest.warns(RuntimeWarning, match="may keep something that changes between calls"):
            assert capture_step(torch.neg, torch.device("cuda"), uses=[P.score, f]) is torch.neg


def test_what_is_known_not_to_change():
    energy = EnergyMLP(4, generator=seeded())
    known = [
        P, P.score, Banana().log_prob, Points(X), ScoreMLP(4), energy.energy, energy, Sliced(), Explicit(P.score),
        at(P.score, 0.1), functools.partial(at(P.score, 0.1)), rademacher, NoiseConditional(SIGMAS),
        P.noised(0.1).score, Circle(2.0), energy.density((-1.0, 1.0, -1.0, 1.0), n_cells=8), NoiseContrastive(P),
        functools.partial(langevin_step, step_size=0.1),
        ContrastiveDivergence(functools.partial(langevin_step, step_size=0.1)),
    ]  # fmt: skip
    assert all(changes_nothing(f) for f in known)
    assert not changes_nothing(FromEnergy(lambda x: x.square().sum(-1), (-1.0, 1.0, -1.0, 1.0), n_cells=8))


class NoMoves(TorchDispatchMode):
    """Refuses to move tensors from the CPU to another device, and to read their values there."""

    def __torch_dispatch__(self, operation, kinds, arguments=(), keywords=None):
        given = [leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, torch.Tensor)]
        results = operation(*arguments, **(keywords or {}))
        gave = [leaf for leaf in tree_leaves(results) if isinstance(leaf, torch.Tensor)]
        if operation in READS or len({tensor.device.type for tensor in given + gave}) > 1:
            raise RuntimeError(f"{operation} waits for the device")
        return results


META = torch.device("meta")  # a device without values stands for CUDA: every move to it and every look at it shows
try:
    torch.distributions.Gamma(*torch.ones(2, 1, device=META), validate_args=False).sample()
except NotImplementedError:  # torch 2.11 draws no gamma numbers there; what matters here is their shape
    torch.library.impl("aten::_standard_gamma", "Meta")(lambda shape, generator=None: torch.empty_like(shape))


def training_step(objective, kind):
    network, p = kind(8).to(META), two_modes().to(META)
    return lambda: objective(network, p.sample((16,))).mean().backward()


def averaging():
    network = ScoreMLP(8).to(META)
    averaged = WeightAverage(network)
    schedule = RECORDING[0]._schedule(averaged, [0.1, 0.2])
    return lambda: (averaged.update(), averaged._include(schedule[1].unbind()[1]))


def reflected_steps(p):
    x = X.to(META)
    return lambda: reflected_langevin_step(p.score, x, 0.1, low=(-2, -2), high=(2, float("inf")))


def mala_steps(p):
    x = X.to(META)
    return lambda: mala_step(p.log_prob, p.score, mala_init(p.log_prob, p.score, x), 0.1)


def evaluation(score, sigma):
    x = X.to(META)
    return lambda: score(x, x.abs().sum(-1) if sigma is None else sigma)


def draws(p):
    p = p.to(META)
    return lambda: p.sample((5,))


def at_a_time(step, sde, *arguments):
    t, u = (torch.full((), time, dtype=torch.float64, device=META) for time in (0.5, 0.4))
    x = X.to(META)
    return lambda: step(sde, *arguments, x, t, u)


def flow_step(sde, score, *rest):
    return heun_step(flow_velocity(sde, score), *rest)


STEPS = {
    **{name: functools.partial(training_step, *pair) for name, pair in TRAININGS.items()},
    # on the CPU it looks at the levels, to refuse negative ones: no tape can hold it, but a graph can
    "noise-conditional, explicit": lambda: training_step(
        NoiseConditionalExplicit(two_modes().score, SIGMAS), NoiseConditionalMLP
    ),
    "averaging": averaging,
    "reflected": lambda: reflected_steps(P),
    "mala": lambda: mala_steps(P),
    "mala, correlated": lambda: mala_steps(fractal_tree()),
    "one level a point": lambda: evaluation(P.score, None),
    "a network at a level": lambda: evaluation(NoiseConditionalMLP(8).to(META), 0.5),
    "a network at one level a point": lambda: evaluation(NoiseConditionalMLP(8).to(META), None),
    "reverse SDE": lambda: at_a_time(reverse_sde_step, VP(), P.score),
    "reverse SDE by Heun": lambda: at_a_time(reverse_sde_heun_step, SubVP(), P.score),
    "correction": lambda: at_a_time(lambda sde, score, x, t, u: corrector_step(sde, score, x, u, 0.16), VE(), P.score),
    "flow": lambda: at_a_time(flow_step, VP(), P.score),
    "flow, a network": lambda: at_a_time(flow_step, VP(), NoiseConditionalMLP(8).to(META)),
    "ancestral": lambda: at_a_time(ancestral_step, VP(), P.score),
    "DDIM": lambda: at_a_time(ddim_step, VE(), P.score),
    "forward SDE": lambda: at_a_time(forward_sde_step, VP()),
    "noised points": lambda: draws(Points(X).noised(0.3)),
    "circles": lambda: draws(Circle(2.0)),
    "Student": lambda: draws(StudentTMixture([1.0], [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [3.0])),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_moves_nothing_and_reads_nothing(name):
    step = STEPS[name]()
    step()  # what is kept is made
    with NoMoves():
        step()


def test_a_move_would_be_seen():
    with pytest.raises(RuntimeError, match="waits for the device"), NoMoves():
        torch.ones(2).to(META)
    with pytest.raises(RuntimeError), NoMoves():
        bool(torch.ones(2, device=META).sum())


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_cuda
@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize("name", TRAININGS)
def test_training_as_a_graph_is_the_training(name, n_seeds, monkeypatch):
    """A graph draws what its launches would draw one by one; the same seed gives the same numbers."""
    objective, network = TRAININGS[name]

    def train():
        g = torch.Generator("cuda").manual_seed(1)
        found = fit(network(8, generator=seeded()), objective, two_modes(), n_steps=30, batch_size=16, n_seeds=n_seeds,
                    device="cuda", generator=g, progress=False)  # fmt: skip
        return found.history.loss, torch.randn(3, device="cuda", generator=g)

    (loss, then), (loss_again, _) = train(), train()
    assert torch.equal(loss, loss_again)
    monkeypatch.setattr(RECORDING[0], "capture_step", lambda step, *_, **__: step)
    expected, then_expected = train()
    assert torch.equal(then, then_expected)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-4)


@needs_cuda
@pytest.mark.parametrize("name", SAMPLINGS)
def test_sampling_as_a_graph_is_the_sampling(name, monkeypatch):
    monkeypatch.setattr(f"{__name__}.X", X.cuda())
    monkeypatch.setattr(f"{__name__}.NETWORK", NoiseConditionalMLP(8, generator=seeded(8)).cuda().requires_grad_(False))

    def sample():
        g = torch.Generator("cuda").manual_seed(1)
        return SAMPLINGS[name]({"keep_every": 3, "generator": g, "progress": False}), torch.randn(
            3, device="cuda", generator=g
        )

    found, then = sample()
    assert torch.equal(found.samples, sample()[0].samples)
    for module in RECORDING:
        monkeypatch.setattr(module, "capture_step", lambda step, *_, **__: step)
    expected, then_expected = sample()
    assert torch.equal(then, then_expected)
    assert found.n_evaluations == expected.n_evaluations
    torch.testing.assert_close(found.path, expected.path, rtol=1e-3, atol=1e-3)


@needs_cuda
def test_a_failed_recording_leaves_the_generator_usable():
    g = torch.Generator("cuda").manual_seed(1)

    def step(x):
        noise = torch.randn(2, device="cuda", generator=g)
        return x + noise * float(noise.sum() > 0)

    again, x = capture_step(step, torch.device("cuda"), generator=g), torch.zeros(2, device="cuda")
    with pytest.warns(RuntimeWarning, match="cannot be recorded"):
        for _ in range(WARM_UP + 3):
            x = again(x)
    assert x.isfinite().all()


def test_what_a_graph_reads_is_kept_with_it():
    """Or the memory would be given to others once the cache forgets, and a replay would read theirs."""
    made = []

    @remembered(1)
    def constant(value):
        made.append(value)
        return torch.full((2,), value)

    step = capture_step(lambda x: x + constant(3.0), CPU, record=lambda run: (run(), run)[1])
    x = torch.ones(2)
    for _ in range(WARM_UP + 1):
        step(x)
    assert step.held[0] is constant(3.0)
    constant(4.0)
    constant(3.0)
    assert made == [3.0, 4.0, 3.0]  # it has forgotten, and the graph has not
    assert len(step.held) == 1
    assert not remembering._being_recorded
