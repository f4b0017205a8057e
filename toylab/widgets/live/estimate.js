// Estimates in words: the value and its standard error, which one chain alone does not have.
export const withError = ({ value, standardError }, digits) =>
  value.toFixed(digits) + (Number.isFinite(standardError) ? ` ± ${standardError.toFixed(digits)}` : "");

// to the two digits that the error has, at most four behind the point
export const toItsError = (found) => {
  const digits = found.standardError > 0 ? 1 - Math.floor(Math.log10(found.standardError)) : 3;
  return withError(found, Math.min(Math.max(0, digits), 4));
};
