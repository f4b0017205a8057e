// The places of a slider for a noise level: round numbers, a tenth apart at most.

// from least to most: in each decade 1, 1.1, ... 2, 2.2, ... 5, 5.5, ... 10
export function roundLevels(least, most) {
  const levels = [];
  for (let decade = 0.01; decade <= most; decade *= 10) {
    for (let tenths = 10; tenths < 100; tenths += tenths < 20 ? 1 : tenths < 50 ? 2 : 5) {
      levels.push(Number(((decade * tenths) / 10).toPrecision(2)));
    }
  }
  return levels.filter((level) => level >= least && level <= most);
}
