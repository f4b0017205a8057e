// Lessons of the film: what is set, and the question.
const plain = { density: "two_far_modes", way: "flow", nData: 20, n: 300, train: 1000, seed: 0, speed: 0.5, frame: 0 };

export const FILM_LESSONS = {
  copies: {
    title: "Twenty data: which score copies them?",
    question: "All three start from the same noise. At the end a point of the exact flow is 0.22 from the nearest of the twenty data, in the median. And one of the data’s own flow, and of the learned one?",
    state: plain,
  },
  untrained: {
    title: "A network that has learned nothing",
    question: "No step of training: the network is near the score of one wide Gaussian. Its σ²J is small at both ends and large between them: at which t is it largest, and why there?",
    state: { ...plain, train: 0 },
  },
  longer: {
    title: "Trained for longer: does it copy now?",
    question: "The ring, and five times as many steps. To the nearest datum it is 0.36 under the exact score and 0.012 under that of the data. Where is the learned one now?",
    state: { ...plain, density: "ring", train: 5000 },
  },
  rough: {
    title: "With noise on the way back",
    question: "The reverse SDE: the same law at each t, by rough paths. Are the weights at the end within two errors of 0.2 and 0.8?",
    state: { ...plain, way: "sde", nData: 200 },
  },
  forth: {
    title: "Forth: data become noise without a score",
    question: "The SDE forth asks no score, so no column does it otherwise. At which t is there as much noise as signal, α = σ?",
    state: { ...plain, way: "sde_forth", nData: 200 },
  },
  code: {
    title: "Forth by the flow: a code for each point",
    question: "The flow forth is the flow back in reverse. Follow A to t = 1: it takes a share of the noise as large as its weight, 0.2. On which side?",
    state: { ...plain, way: "flow_forth" },
  },
};
