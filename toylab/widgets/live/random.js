// The random numbers of torch's own CPU generator, Mersenne Twister (MT19937): the same seed gives the same stream here
// and in `torch.Generator().manual_seed(seed)`, drawn as float64.
//
// Source: Matsumoto & Nishimura 1998; normal numbers by Box & Muller 1958, in the order in which torch draws them.
const WORDS = 624, SHIFT = 397;

export class Generator {
  constructor(seed = 0) {
    this.state = new Uint32Array(WORDS);
    this.state[0] = seed >>> 0;
    for (let i = 1; i < WORDS; i++) {
      const last = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, last) + i;
    }
    this.next = WORDS;
    this.kept = null; // the second normal number of a pair, where they are drawn one by one
  }

  // 32 random bits
  bits() {
    if (this.next === WORDS) this.twist();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const s = this.state;
    for (let i = 0; i < WORDS; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % WORDS] & 0x7fffffff);
      s[i] = s[(i + SHIFT) % WORDS] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  // uniform on [0, 1): the lower 53 of 64 bits
  uniform() {
    const high = this.bits(), low = this.bits();
    return ((high & 0x1fffff) * 4294967296 + low) / 9007199254740992;
  }

  // uniform on [0, 1) in single precision, as torch.rand(n) draws them: the lower 24 of 32 bits
  uniform32() {
    return (this.bits() & 0xffffff) / 16777216;
  }

  // uniform on 0 .. high - 1, as torch.randint(high, ...)
  integer(high) { return this.bits() % high; }

  // n numbers uniform on [0, 1), as torch.rand(n, dtype=torch.float64)
  uniforms(out, n = out.length) {
    for (let i = 0; i < n; i++) out[i] = this.uniform();
    return out;
  }

  // n standard normal numbers, as torch.randn(n, dtype=torch.float64)
  normals(out, n = out.length) {
    if (n < 16) {
      for (let i = 0; i < n; i++) out[i] = this.normal();
      return out;
    }
    this.uniforms(out, n);
    for (let i = 0; i + 16 <= n; i += 16) boxMuller(out, i);
    if (n % 16) { // torch draws the last sixteen anew
      for (let i = n - 16; i < n; i++) out[i] = this.uniform();
      boxMuller(out, n - 16);
    }
    return out;
  }

  normal() {
    if (this.kept !== null) {
      const kept = this.kept;
      this.kept = null;
      return kept;
    }
    const angle = 2 * Math.PI * this.uniform(), radius = Math.sqrt(-2 * Math.log1p(-this.uniform()));
    this.kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

// sixteen uniform numbers from i on become normal ones, the first eight paired with the last
function boxMuller(x, i) {
  for (let j = i; j < i + 8; j++) {
    const radius = Math.sqrt(-2 * Math.log(1 - x[j])), angle = 2 * Math.PI * x[j + 8];
    x[j] = radius * Math.cos(angle);
    x[j + 8] = radius * Math.sin(angle);
  }
}
