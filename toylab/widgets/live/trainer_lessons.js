// Lessons of the training in the tab: what is set, and the question.
const PLAIN_TRAINING = { density: "two_near_modes", objective: "denoising", sigma: 0.5, nData: 0, width: 64, rate: 0.002, seed: 0 };

export const TRAINER_LESSONS = {
  learns: {
    title: "Denoising learns the score of the noised law",
    question: "No score is shown to the network, only points with and without noise. A score of zero has a Fisher divergence J of 1.42: is it below a tenth of that after 1,000 steps? The loss alone would not tell.",
    state: PLAIN_TRAINING,
  },
  sliced: {
    title: "Sliced matching: from points alone, without noise",
    question: "Here the loss has the derivative of the network in it. A score of zero has J = 2.61: is it below a tenth of that after 1,000 steps?",
    state: { ...PLAIN_TRAINING, objective: "sliced" },
  },
  little: {
    title: "Too little noise: the loss is all noise",
    question: "σ = 0.05: the term z/σ has the square 400 per axis. With σ = 0.5 J is near 0.19 after 200 steps. And here?",
    state: { ...PLAIN_TRAINING, sigma: 0.05 },
  },
  few: {
    title: "Few data: the loss falls and the truth runs away",
    question: "Twenty points, sliced matching. The loss keeps falling. J is lowest, 0.78, at step 80. What has the network learned after it?",
    state: { ...PLAIN_TRAINING, objective: "sliced", nData: 20, rate: 0.005 },
  },
  fast: {
    title: "A rate far too large",
    question: "Learning rate 0.3, where 0.002 was right. A score of zero has J = 1.42: does J come below it for good?",
    state: { ...PLAIN_TRAINING, rate: 0.3 },
  },
};
