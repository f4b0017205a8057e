// Lessons of the training in the tab: what is set, and the question.
const PLAIN_TRAINING = { density: "two_near_modes", objective: "denoising", sigma: 0.5, nData: 0, width: 64, rate: 0.002, seed: 0 };

export const TRAINER_LESSONS = {
  learns: {
    title: "Denoising learns the score of the noised law",
    question: "No score is shown to the network, only points with and without noise. Does the Fisher divergence J go to zero? The loss alone would not tell.",
    state: PLAIN_TRAINING,
  },
  sliced: {
    title: "Sliced matching: from points alone, without noise",
    question: "Here the loss has the derivative of the network in it. Which of the two has the noisier loss, and which J is lower after 1,000 steps?",
    state: { ...PLAIN_TRAINING, objective: "sliced" },
  },
  little: {
    title: "Too little noise: the loss is all noise",
    question: "σ = 0.05: the term z/σ has the square 400 per axis. How long until J falls below 0.1?",
    state: { ...PLAIN_TRAINING, sigma: 0.05 },
  },
  few: {
    title: "Few data: the loss falls and the truth runs away",
    question: "Twenty points, sliced matching. The loss keeps falling. At which step is J lowest, and what has the network learned after it?",
    state: { ...PLAIN_TRAINING, objective: "sliced", nData: 20, rate: 0.005 },
  },
  fast: {
    title: "A rate far too large",
    question: "Learning rate 0.3. Does J come down again?",
    state: { ...PLAIN_TRAINING, rate: 0.3 },
  },
};
