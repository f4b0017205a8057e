// Curves on a logarithmic axis that says what it shows.
const TICKS = [0.001, 0.01, 0.1, 1, 10, 100, 1000];
export const LINEAR_BELOW = 0.1; // where a curve goes below 0

// place of a value on an axis that is linear about 0 and logarithmic beyond
const aboutZero = (value) => (Math.abs(value) < LINEAR_BELOW ? value / LINEAR_BELOW : Math.sign(value) * (1 + Math.log10(Math.abs(value) / LINEAR_BELOW)));

// curves: [{points: [[x, value]], colour, words}]; where one goes below 0 the axis is linear about it, else what is below
// its foot is left out
// across: the axis of x, {from: [x, words], to: [x, words]}; at: an x to be marked
export function drawCurves(canvas, curves, ink, across, at = null) {
  const scale = Math.min(window.devicePixelRatio || 1, 2), width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
  if (!width) return;
  canvas.width = Math.round(width);
  canvas.height = Math.round(height);
  const context = canvas.getContext("2d"), left = 52 * scale, foot = height - 22 * scale, head = 22 * scale;
  const [first, firstWords] = across.from, [last, lastWords] = across.to;
  const values = curves.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
  const isSigned = values.some((value) => value < 0), place = isSigned ? aboutZero : Math.log10;
  const least = isSigned ? Math.min(...values) : Math.max(Math.min(0.1, ...values.filter((value) => value > 0)), 1e-3);
  const low = place(least) - (isSigned ? 0.1 : 0), high = place(Math.max(1, ...values)) + 0.1;
  const x = (one) => left + ((one - first) / (last - first)) * (width - left - 6 * scale);
  const y = (value) => head + ((high - place(value)) / (high - low)) * (foot - head);
  context.font = `${13 * scale}px system-ui, sans-serif`;
  context.fillStyle = context.strokeStyle = ink;
  context.lineWidth = scale;
  context.textAlign = "right";
  context.textBaseline = "middle";
  const outer = TICKS.filter((v) => v >= LINEAR_BELOW), ticks = isSigned ? [...outer, 0, ...outer.map((v) => -v)] : TICKS;
  for (const tick of ticks.filter((v) => place(v) >= low - 1e-9 && place(v) <= high)) {
    context.fillText(tick, left - 6 * scale, y(tick));
    context.fillRect(left - 4 * scale, y(tick), tick === 0 ? width : 4 * scale, scale);
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
      const isShown = place(value) >= low - 1e-9;
      if (isShown) context[drawing ? "lineTo" : "moveTo"](x(one), y(value));
      drawing = isShown;
    }
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "left";
    context.fillText(words, from, 2 * scale);
    from += context.measureText(words).width + 18 * scale;
  }
}
