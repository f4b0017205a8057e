// Noise levels and times.

// n numbers from first to last with a constant ratio
export function geometric(first, last, n) {
  return Float64Array.from({ length: n }, (_, k) => (n === 1 ? first : first * (last / first) ** (k / (n - 1))));
}

// n numbers from first to last, evenly
export function uniform(first, last, n) {
  return Float64Array.from({ length: n }, (_, k) => first + ((last - first) * k) / (n - 1));
}
