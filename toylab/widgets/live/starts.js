// Clouds to start chains from, [2n].

// uniform on a rectangle [left, right, bottom, top], as toylab.samplers.uniform_start in float64
export function uniformStart(n, [left, right, bottom, top], generator) {
  const x = generator.uniforms(new Float64Array(2 * n));
  for (let i = 0; i < n; i++) {
    x[2 * i] = left + x[2 * i] * (right - left);
    x[2 * i + 1] = bottom + x[2 * i + 1] * (top - bottom);
  }
  return x;
}

// N(0, std^2 I), as toylab.samplers.gaussian_start in float64
export function gaussianStart(n, std, generator) {
  return generator.normals(new Float64Array(2 * n)).map((z) => std * z);
}

// n points in equal parts at the given places, in turn
export function startAt(n, places) {
  return Float64Array.from({ length: 2 * n }, (_, i) => places[(i >> 1) % places.length][i & 1]);
}
