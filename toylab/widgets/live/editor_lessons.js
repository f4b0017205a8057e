// Lessons of the density editor: what is set, and the question.
const mode = (weight, x, y, s1 = 1, s2 = 1, angle = 0) => ({ weight, x, y, s1, s2, angle });
const far = [mode(0.2, -2.5, -2.5, 0.5, 0.5), mode(0.8, 2.5, 2.5, 0.5, 0.5)];

export const EDITOR_LESSONS = {
  between: {
    title: "Between two far modes: what does the score know?",
    question: "At the cross the score is (−10, −6). Change the weight of A, to 5 or to 0.01: does it change? Raise the noise σ to 4, and try again.",
    state: { modes: far, points: [], sigma: 0, at: [[0, -1]] },
  },
  stretched: {
    title: "A stretched mode: where do the arrows point?",
    question: "s = −C⁻¹(x − m): along the short axis the arrow is (2/0.5)² = 16 times as long as along the long one. Do they point to the middle?",
    state: { modes: [mode(1, 0, 0, 2, 0.5, 30)], points: [], sigma: 0, at: [[2, 0]] },
  },
  tweedie: {
    title: "The best guess of the clean point",
    question: "The star is E[x₀ | x] = x + σ² s(x, σ). With little noise it is near a mode. At σ = 10 it is at (1.51, 1.51). Why there?",
    state: { modes: far, points: [], sigma: 1, at: [[0.5, -0.2]] },
  },
  data: {
    title: "A data set: the score pulls to its points",
    question: "Five points. At the cross, at σ = 1, the guess is (0.36, 0.22), a mean of them. Where is it at σ = 0.2? A network that fits this score has learned them by heart.",
    state: { modes: far, points: [[-2, 1], [1, 2], [2, -1], [-1, -2], [0.5, 0.3]], sigma: 1, at: [[0, 0]] },
  },
};
