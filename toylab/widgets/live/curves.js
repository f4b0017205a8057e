// Curves on a logarithmic axis that says what it shows.
const TICKS = [0.001, 0.01, 0.1, 1, 10, 100, 1000];

// curves: [{points: [[x, value]], colour, words}]; values that are not positive have no place on the axis, and are left out
// across: the axis of x, {from: [x, words], to: [x, words]}; at: an x to be marked
export function drawCurves(canvas, curves, ink, across, at = null) {
  const scale = Math.min(window.devicePixelRatio || 1, 2), width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
  if (!width) return;
  canvas.width = Math.round(width);
  canvas.height = Math.round(height);
  const context = canvas.getContext("2d"), left = 52 * scale, foot = height - 22 * scale, head = 22 * scale;
  const seen = curves.flatMap(({ points }) => points).filter(([, value]) => value > 0);
  const [first, firstWords] = across.from, [last, lastWords] = across.to, values = seen.map(([, value]) => value);
  const low = Math.log10(Math.max(Math.min(0.1, ...values), 1e-3)), high = Math.log10(Math.max(1, ...values)) + 0.1;
  const x = (one) => left + ((one - first) / (last - first)) * (width - left - 6 * scale);
  const y = (value) => head + ((high - Math.max(Math.log10(value), low)) / (high - low)) * (foot - head);
  context.font = `${13 * scale}px system-ui, sans-serif`;
  context.fillStyle = context.strokeStyle = ink;
  context.lineWidth = scale;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of TICKS.filter((v) => Math.log10(v) >= low - 1e-9 && Math.log10(v) <= high)) {
    context.fillText(tick, left - 6 * scale, y(tick));
    context.fillRect(left - 4 * scale, y(tick), 4 * scale, scale);
  }
  context.fillRect(left, head, scale, foot - head);
  context.fillRect(left, foot, width - left, scale);
  context.textBaseline = "top";
  context.textAlign = "left";
  context.fillText(firstWords, left - 4 * scale, foot + 4 * scale);
  context.textAlign = "right";
  context.fillText(lastWords, width - 4 * scale, foot + 4 * scale);
  if (at !== null) context.fillRect(x(at) - scale, head, 2 * scale, foot - head);
  let from = left + 6 * scale;
  for (const { points, colour, words, dash } of curves) {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 2.5 * scale;
    context.setLineDash(dash ? [6 * scale, 4 * scale] : []);
    context.beginPath();
    let drawing = false;
    for (const [one, value] of points) {
      if (value > 0) context[drawing ? "lineTo" : "moveTo"](x(one), y(value));
      drawing = value > 0;
    }
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "left";
    context.fillText(words, from, 2 * scale);
    from += context.measureText(words).width + 18 * scale;
  }
}
