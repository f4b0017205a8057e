// Curves over the steps of a training, on a logarithmic axis that says what it shows.
const TICKS = [0.01, 0.1, 1, 10, 100];

// curves: [{points: [[step, value]], colour, words}]; values that are not positive have no place on the axis, and are left out
export function drawCurves(canvas, curves, ink) {
  const scale = Math.min(window.devicePixelRatio || 1, 2), width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
  if (!width) return;
  canvas.width = Math.round(width);
  canvas.height = Math.round(height);
  const context = canvas.getContext("2d"), left = 44 * scale, foot = height - 22 * scale, head = 22 * scale;
  const seen = curves.flatMap(({ points }) => points).filter(([, value]) => value > 0);
  const lastStep = Math.max(100, ...seen.map(([step]) => step)), values = seen.map(([, value]) => value);
  const low = Math.log10(Math.max(Math.min(0.1, ...values), 1e-3)), high = Math.log10(Math.max(1, ...values)) + 0.1;
  const x = (step) => left + (step / lastStep) * (width - left - 6 * scale);
  const y = (value) => head + ((high - Math.log10(value)) / (high - low)) * (foot - head);
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
  context.textAlign = "center";
  context.textBaseline = "top";
  context.fillText("0", left, foot + 4 * scale);
  context.fillText(`${lastStep} steps`, width - 40 * scale, foot + 4 * scale);
  let from = left + 6 * scale;
  for (const { points, colour, words, dash } of curves) {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 2.5 * scale;
    context.setLineDash(dash ? [6 * scale, 4 * scale] : []);
    context.beginPath();
    let drawing = false;
    for (const [step, value] of points) {
      if (value > 0) context[drawing ? "lineTo" : "moveTo"](x(step), y(value));
      drawing = value > 0;
    }
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "left";
    context.fillText(words, from, 2 * scale);
    from += context.measureText(words).width + 18 * scale;
  }
}
