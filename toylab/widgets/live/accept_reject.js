// Chains that carry log p and the score of where they are, and go to a proposal with probability min(1, e^logRatio).

export function stateAt(law, x) {
  const n = x.length / 2, state = { x, score: new Float64Array(2 * n), logProb: new Float64Array(n) };
  law.score(x, state.score, state.logProb);
  return state;
}

// the proposal's place, score and log p replace those of chain i where it is accepted; how many were
export function acceptReject(state, place, score, logProb, logRatio, generator, work) {
  const u = generator.uniforms(work.uniform);
  let accepted = 0;
  for (let i = 0; i < u.length; i++) {
    if (!(Math.log(u[i]) < logRatio[i])) continue; // nan compares false: a proposal that blew up is refused
    accepted += 1;
    for (const j of [2 * i, 2 * i + 1]) {
      state.x[j] = place[j];
      state.score[j] = score[j];
    }
    state.logProb[i] = logProb[i];
  }
  return accepted;
}
