"""A mixture of Gaussians at one point, inside a kernel: log p, the score and its derivative, in one pass over K.

What densities/_gaussians.py computes, with W_k^T W_k = (C_k + sigma^2 I)^-1 and a_k = W_k (m_k - x):

    l_k = log w_k + log det W_k - log 2 pi - |a_k|^2 / 2,      s_k = W_k^T a_k,      r = softmax(l)
    log p = logsumexp(l),      s = sum_k r_k s_k,      grad s = sum_k r_k ((s_k - s)(s_k - s)^T - W_k^T W_k)

The sums are relative to the largest l_k so far, and what was summed before is scaled down when a larger one comes. So
there is one exponential per pair: of two terms, one is always exp(0).
"""

import triton
import triton.language as tl

ROW = tl.constexpr(6)  # of a table at one level: log w + log det W - log 2 pi, w11, w22, w21, m1, m2
RAW = tl.constexpr(7)  # of a table for levels of the points' own: log w, c11, c22, c12, det C, m1, m2


@triton.jit
def whitening(table, k, noise, ROUND: tl.constexpr, LEVELS: tl.constexpr):
    """log w + log det W - log 2 pi, the entries w11, w22, w21 of W, and the mean, of component k."""
    if LEVELS:  # sigma^2 of each point in ``noise``
        row = table + RAW * k
        c11 = tl.load(row + 1) + noise
        w11 = 1 / tl.sqrt(c11)
        w22, w21 = w11, 0.0 * w11
        if not ROUND:
            det = tl.load(row + 4) + noise * (tl.load(row + 1) + tl.load(row + 2) + noise)
            w22 = tl.sqrt(c11 / det)
            w21 = -tl.load(row + 3) / c11 * w22
        constant = tl.load(row) + tl.log(w11 * w22) - 1.8378770664093453  # log 2 pi
        m1, m2 = tl.load(row + 5), tl.load(row + 6)
    else:
        row = table + ROW * k
        constant, w11, w22, w21 = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
        m1, m2 = tl.load(row + 4), tl.load(row + 5)
    return constant, w11, w22, w21, m1, m2


@triton.jit
def component(table, k, x1, x2, noise, ROUND: tl.constexpr, LEVELS: tl.constexpr):
    """l_k and s_k, and the entries of W_k."""
    constant, w11, w22, w21, m1, m2 = whitening(table, k, noise, ROUND, LEVELS)
    a1, a2 = w11 * (m1 - x1), w22 * (m2 - x2)
    if ROUND:
        s1, s2 = w11 * a1, w22 * a2
    else:
        a2 += w21 * (m1 - x1)
        s1, s2 = w11 * a1 + w21 * a2, w22 * a2
    return constant - 0.5 * (a1 * a1 + a2 * a2), s1, s2, w11, w22, w21


@triton.jit
def evaluate(table, wide, K, x1, x2, noise, inside, ROUND: tl.constexpr, LEVELS: tl.constexpr, HESSIAN: tl.constexpr):
    """log p, s and the entries h11, h12, h22 of grad s (if HESSIAN) at a block of points.

    In single precision l_k loses eps |l_k|. Points ``inside`` so far out that this shows in their weights are done
    again in double precision, from ``wide``, as on the plain path of a CPU, whatever other points share the block.
    """
    top, log_total, s1, s2 = value_and_score(table, K, x1, x2, noise, ROUND, LEVELS)
    log_p, h11, h12, h22 = top + log_total, s1, s1, s2
    if HESSIAN:
        h11, h12, h22 = derivative(table, K, x1, x2, noise, top, log_total, s1, s2, ROUND, LEVELS)
    if x1.dtype == tl.float32:
        far = is_far(log_p) & inside
        if tl.max(far.to(tl.int32)) > 0:
            y1, y2, level = x1.to(tl.float64), x2.to(tl.float64), noise.to(tl.float64)
            top64, log_total64, t1, t2 = value_and_score(wide, K, y1, y2, level, ROUND, LEVELS)
            log_p = tl.where(far, (top64 + log_total64).to(tl.float32), log_p)
            s1, s2 = tl.where(far, t1.to(tl.float32), s1), tl.where(far, t2.to(tl.float32), s2)
            if HESSIAN:
                g11, g12, g22 = derivative(wide, K, y1, y2, level, top64, log_total64, t1, t2, ROUND, LEVELS)
                h11, h12 = tl.where(far, g11.to(tl.float32), h11), tl.where(far, g12.to(tl.float32), h12)
                h22 = tl.where(far, g22.to(tl.float32), h22)
    return log_p, s1, s2, h11, h12, h22


@triton.jit
def is_far(log_p):
    """At which points single precision will not do; nan counts as far. It is densities/_mixture.too_far."""
    return (log_p < -100) | (log_p != log_p)


@triton.jit
def value_and_score(table, K, x1, x2, noise, ROUND: tl.constexpr, LEVELS: tl.constexpr):
    """The largest l_k, log sum_k exp(l_k - largest), and s at points x; their sum is log p."""
    least: tl.constexpr = -1.7e308 if x1.dtype == tl.float64 else -3.4e38
    top = tl.full(x1.shape, least, x1.dtype)
    total, t1, t2 = 0.0 * x1, 0.0 * x1, 0.0 * x1
    for k in range(K):
        log_joint, s1, s2, _, _, _ = component(table, k, x1, x2, noise, ROUND, LEVELS)
        lead = log_joint - top
        small = tl.exp(-tl.abs(lead))
        kept, weight = tl.where(lead > 0, small, 1.0), tl.where(lead > 0, 1.0, small)
        top = tl.maximum(top, log_joint)
        total = total * kept + weight
        t1 = t1 * kept + weight * s1
        t2 = t2 * kept + weight * s2
    return top, tl.log(total), t1 / total, t2 / total


@triton.jit
def derivative(table, K, x1, x2, noise, top, log_total, s1, s2, ROUND: tl.constexpr, LEVELS: tl.constexpr):
    """The entries h11, h12, h22 of grad s, from what ``value_and_score`` gave."""
    h11, h12, h22 = 0.0 * x1, 0.0 * x1, 0.0 * x1
    for k in range(K):
        log_joint, t1, t2, w11, w22, w21 = component(table, k, x1, x2, noise, ROUND, LEVELS)
        r = tl.exp(log_joint - top - log_total)
        d1, d2 = t1 - s1, t2 - s2
        h11 += r * (d1 * d1 - w11 * w11 - w21 * w21)
        h12 += r * (d1 * d2 - w21 * w22)
        h22 += r * (d2 * d2 - w22 * w22)
    return h11, h12, h22
