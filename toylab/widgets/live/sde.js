// Diffusions dx = f(t) x dt + g(t) dw, so that x_t | x_0 ~ N(alpha(t) x_0, sigma(t)^2 I). Time runs from 0, the data, to 1.
//
// Source: Song et al. 2021 (arXiv:2011.13456), section 3 and appendix B.

// variance preserving: f = -beta/2, g^2 = beta, beta linear in time; alpha = e^(-B/2), sigma^2 = 1 - e^(-B)
export class VP {
  constructor(betaMin = 0.1, betaMax = 20, tMin = 0.001) {
    this.betaMin = betaMin;
    this.betaMax = betaMax;
    this.tMin = tMin;
  }
  beta(t) { return this.betaMin + t * (this.betaMax - this.betaMin); }
  integral(t) { return this.betaMin * t + 0.5 * (this.betaMax - this.betaMin) * t * t; }
  alpha(t) { return Math.exp(-0.5 * this.integral(t)); }
  sigma(t) { return Math.sqrt(-Math.expm1(-this.integral(t))); }
  drift(t) { return -0.5 * this.beta(t); }
  diffusion(t) { return Math.sqrt(this.beta(t)); }
}
