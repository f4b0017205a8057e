// A square of the plane on a canvas: densities as its ground, points, arrows and letters in the units of the data.

export class Plane {
  constructor(extent, label) {
    this.extent = extent;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "plane";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.context = this.canvas.getContext("2d");
    this.ground = document.createElement("canvas"); // the density, drawn once for each law
  }

  // it takes the keyboard, and says so
  operate() {
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
  }

  // as many pixels as the canvas has on the screen
  fit() {
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(this.canvas.clientWidth * scale), height = Math.round(this.canvas.clientHeight * scale);
    if (!width || (width === this.canvas.width && height === this.canvas.height)) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.unit = scale; // a pixel of the page
  }

  pixel(x, y) {
    const [left, right, bottom, top] = this.extent;
    return [((x - left) / (right - left)) * this.canvas.width, ((top - y) / (top - bottom)) * this.canvas.height];
  }

  // the place under a pointer, or the nearest one in the picture
  place(event) {
    const box = this.canvas.getBoundingClientRect(), [left, right, bottom, top] = this.extent;
    return [
      clamp(left + ((event.clientX - box.left) / box.width) * (right - left), left, right),
      clamp(top - ((event.clientY - box.top) / box.height) * (top - bottom), bottom, top),
    ];
  }

  shows([x, y]) {
    const [left, right, bottom, top] = this.extent;
    return x >= left && x <= right && y >= bottom && y <= top;
  }

  // how far two places are apart, in pixels of the page
  apart(a, b) {
    const [[u, v], [s, t]] = [this.pixel(...a), this.pixel(...b)];
    return Math.hypot(u - s, v - t) / this.unit;
  }

  // values in [0, 1] on n x n cells, rows from the bottom, as shades of the colour [r, g, b]
  shade(values, n, [r, g, b]) {
    if (this.ground.width !== n) this.ground.width = this.ground.height = n;
    const context = this.ground.getContext("2d"), image = context.createImageData(n, n);
    for (let row = 0; row < n; row++) {
      for (let column = 0; column < n; column++) {
        const at = 4 * ((n - 1 - row) * n + column);
        image.data[at] = r;
        image.data[at + 1] = g;
        image.data[at + 2] = b;
        image.data[at + 3] = 255 * Math.min(values[row * n + column], 1);
      }
    }
    context.putImageData(image, 0, 0);
  }

  // wipe, and draw the ground; smooth unless cells are to be seen
  clear(smooth = true) {
    const { width, height } = this.canvas;
    this.context.clearRect(0, 0, width, height);
    this.context.imageSmoothingEnabled = smooth;
    this.context.drawImage(this.ground, 0, 0, width, height);
  }

  points(x, size, colour) {
    const [left, right, bottom, top] = this.extent, { width, height } = this.canvas, side = size * this.unit;
    const across = width / (right - left), up = height / (top - bottom);
    this.context.fillStyle = colour;
    for (let i = 0; i < x.length; i += 2) {
      const u = (x[i] - left) * across, v = (top - x[i + 1]) * up;
      if (u > -side && u < width + side && v > -side && v < height + side) {
        this.context.fillRect(u - side / 2, v - side / 2, side, side);
      }
    }
  }

  // lines through the last places of some points; paths [k] of [2m], the oldest first
  trails(paths, colour) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = 1.2 * this.unit;
    for (let j = 1; j < paths.length; j++) {
      context.globalAlpha = (0.9 * j) / paths.length;
      context.beginPath();
      for (let i = 0; i < paths[j].length; i += 2) {
        context.moveTo(...this.pixel(paths[j - 1][i], paths[j - 1][i + 1]));
        context.lineTo(...this.pixel(paths[j][i], paths[j][i + 1]));
      }
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  text(words, x, y, colour, size = 15) {
    const [u, v] = this.pixel(x, y), { context } = this;
    context.font = `bold ${size * this.unit}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = colour;
    context.fillText(words, u, v);
  }

  // an arrow at each of the points x [2n] along the vectors s; it has its full length where |s| is `full` or more
  arrows(x, s, full, colour) {
    const { context } = this, longest = (0.85 * this.canvas.width) / Math.sqrt(x.length / 2);
    context.strokeStyle = colour;
    context.lineWidth = 1.4 * this.unit;
    context.beginPath();
    for (let i = 0; i < x.length; i += 2) {
      const size = Math.hypot(s[i], s[i + 1]);
      if (!(size > 0)) continue;
      const length = longest * Math.min(size / full, 1), dx = (length * s[i]) / size, dy = (-length * s[i + 1]) / size;
      const [u, v] = this.pixel(x[i], x[i + 1]), tipX = u + dx, tipY = v + dy, barb = 0.3;
      context.moveTo(u, v);
      context.lineTo(tipX, tipY);
      context.lineTo(tipX - barb * dx - 0.6 * barb * dy, tipY - barb * dy + 0.6 * barb * dx);
      context.moveTo(tipX, tipY);
      context.lineTo(tipX - barb * dx + 0.6 * barb * dy, tipY - barb * dy - 0.6 * barb * dx);
    }
    context.stroke();
  }

  // where a mode is one standard deviation from its middle
  ellipse({ x, y, s1, s2, angle }, width, colour) {
    const [u, v] = this.pixel(x, y), scale = this.canvas.width / (this.extent[1] - this.extent[0]), { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width * this.unit;
    context.beginPath();
    context.ellipse(u, v, s1 * scale, s2 * scale, (-angle * Math.PI) / 180, 0, 2 * Math.PI);
    context.stroke();
  }

  disc(x, y, radius, colour) {
    const { context } = this;
    context.fillStyle = colour;
    context.beginPath();
    context.arc(...this.pixel(x, y), radius * this.unit, 0, 2 * Math.PI);
    context.fill();
  }

  line(from, to, colour) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = 2.5 * this.unit;
    context.beginPath();
    context.moveTo(...this.pixel(...from));
    context.lineTo(...this.pixel(...to));
    context.stroke();
  }

  star(x, y, colour) {
    const [u, v] = this.pixel(x, y), radius = 10 * this.unit, { context } = this;
    context.fillStyle = colour;
    context.beginPath();
    for (let k = 0; k < 10; k++) {
      const r = k % 2 ? 0.45 * radius : radius, a = (k * Math.PI) / 5 - Math.PI / 2;
      context.lineTo(u + r * Math.cos(a), v + r * Math.sin(a));
    }
    context.fill();
  }

  cross(x, y, colour, size = 9, width = 3) {
    const [u, v] = this.pixel(x, y), arm = size * this.unit, { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width * this.unit;
    context.beginPath();
    context.moveTo(u - arm, v);
    context.lineTo(u + arm, v);
    context.moveTo(u, v - arm);
    context.lineTo(u, v + arm);
    context.stroke();
  }
}

export const SHADE = 0.5; // of the ground where a density is largest: points are seen on it

// modes are named by letters
export const letter = (k) => (k < 26 ? String.fromCharCode(65 + k) : String(k + 1));
export const clamp = (v, least, most) => Math.min(most, Math.max(least, v));

// the size that four fifths of the vectors s [2n] do not pass, to two digits: full length for their arrows
export function fullLength(s) {
  const sizes = Float64Array.from({ length: s.length / 2 }, (_, i) => Math.hypot(s[2 * i], s[2 * i + 1])).sort();
  return Number(sizes[Math.floor(0.8 * sizes.length)].toPrecision(2));
}

// the middles of n x n cells, [2 n n], rows from the bottom
export function gridPoints([left, right, bottom, top], n) {
  const x = new Float64Array(2 * n * n);
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      x[2 * (row * n + column)] = left + ((column + 0.5) * (right - left)) / n;
      x[2 * (row * n + column) + 1] = bottom + ((row + 0.5) * (top - bottom)) / n;
    }
  }
  return x;
}

// p at the middles of n x n cells, and the largest of them
export function densityOn(law, extent, n) {
  const values = law.logProb(gridPoints(extent, n)).map(Math.exp);
  return { values, most: values.reduce((a, b) => Math.max(a, b), 0) };
}
