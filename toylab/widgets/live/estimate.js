// Estimates in words: the value and its standard error, which one chain alone does not have.
export const withError = ({ value, standardError }, digits) =>
  value.toFixed(digits) + (Number.isFinite(standardError) ? ` ± ${standardError.toFixed(digits)}` : "");

// to the two digits that the error has; what is smaller than four digits behind the point can show by its leading ones
export const toItsError = (found) => {
  const { value, standardError } = found, digits = standardError > 0 ? 1 - Math.floor(Math.log10(standardError)) : 3;
  if (digits > 4 && Math.abs(value) < 0.001) return `${value.toPrecision(2)} ± ${standardError.toPrecision(1)}`;
  return withError(found, Math.min(Math.max(0, digits), 4));
};
