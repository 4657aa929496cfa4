// A mask at the picture's own size, one byte a pixel, 255 where the picture may change. A pixel
// belongs to a stroke or a shape when its middle does, so the same strokes give the same mask at
// every zoom and in every browser.
class Mask {
  constructor(width, height) {
    this.width = width; this.height = height;
    this.data = new Uint8Array(width * height);
    this.past = []; this.future = [];
  }
  get empty() { return !this.data.some((value) => value); }
  // Called before every change. What can be undone is bounded by memory, not by number.
  keep() {
    this.past.push(this.data.slice());
    while (this.past.length > 2 && this.past.length * this.data.length > 96e6) this.past.shift();
    this.future = [];
  }
  undo() { if (this.past.length) { this.future.push(this.data); this.data = this.past.pop(); } }
  redo() { if (this.future.length) { this.past.push(this.data); this.data = this.future.pop(); } }
  fill(value) { this.data.fill(value); }
  invert() { for (let i = 0; i < this.data.length; i++) this.data[i] = 255 - this.data[i]; }
  // A stroke of a round brush from one point to the next, both in pixels.
  segment(x0, y0, x1, y1, radius, value) {
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius)), bottom = Math.min(this.height - 1, Math.ceil(Math.max(y0, y1) + radius));
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius)), right = Math.min(this.width - 1, Math.ceil(Math.max(x0, x1) + radius));
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, most = radius * radius;
    for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) {
      const px = x + 0.5 - x0, py = y + 0.5 - y0;
      const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const ax = px - t * dx, ay = py - t * dy;
      if (ax * ax + ay * ay <= most) this.data[y * this.width + x] = value;
    }
  }
  // mode: add, subtract or intersect. inside(y): list of [from, to) in pixels of a row, sorted.
  combine(inside, mode) {
    const { data, width, height } = this;
    for (let y = 0; y < height; y++) {
      const row = new Uint8Array(width);
      for (const [from, to] of inside(y)) row.fill(1, Math.max(0, from), Math.min(width, to));
      for (let x = 0, i = y * width; x < width; x++, i++) {
        if (mode === "add" && row[x]) data[i] = 255;
        else if (mode === "subtract" && row[x]) data[i] = 0;
        else if (mode === "intersect" && !row[x]) data[i] = 0;
      }
    }
  }
  // Distance of every pixel to the nearest one with this value (Felzenszwalb and Huttenlocher 2012).
  distance(value) {
    const { data, width, height } = this, far = 1e12, field = new Float64Array(width * height);
    for (let i = 0; i < field.length; i++) field[i] = Boolean(data[i]) === Boolean(value) ? 0 : far;
    const longest = Math.max(width, height), f = new Float64Array(longest), v = new Int32Array(longest), z = new Float64Array(longest + 1);
    const line = (start, step, count) => {
      for (let i = 0; i < count; i++) f[i] = field[start + i * step];
      let k = 0; v[0] = 0; z[0] = -Infinity; z[1] = Infinity;
      const meet = (q, r) => (f[q] + q * q - f[r] - r * r) / (2 * (q - r));
      for (let q = 1; q < count; q++) {
        while (meet(q, v[k]) <= z[k]) k--;
        z[k + 1] = meet(q, v[k]);
        v[++k] = q;
        z[k + 1] = Infinity;
      }
      for (let q = 0, j = 0; q < count; q++) {
        while (z[j + 1] < q) j++;
        field[start + q * step] = (q - v[j]) * (q - v[j]) + f[v[j]];
      }
    };
    for (let x = 0; x < width; x++) line(x, width, height);
    for (let y = 0; y < height; y++) line(y * width, 1, width);
    return field.map(Math.sqrt);
  }
  // The soft mask as the server makes it, 0 to 255: inverted, grown, then feathered.
  soft({ feather = 0, grow = 0, invert = false } = {}) {
    const mask = new Mask(this.width, this.height);
    mask.data = this.data.slice();
    if (invert) mask.invert();
    if (grow) {
      const away = mask.distance(grow > 0 ? 255 : 0);
      mask.data = Uint8Array.from(away, (d) => ((grow > 0 ? d <= grow : d > -grow) ? 255 : 0));
    }
    if (!feather || mask.empty) return mask.data;
    return Uint8Array.from(mask.distance(255), (d) => {
      const share = Math.min(1, d / (feather + 1));
      return share < 1 ? Math.round(255 * (0.5 + 0.5 * Math.cos(Math.PI * share))) : 0;
    });
  }
  // From the red channel of a picture that may have another size.
  read(image) {
    const canvas = new OffscreenCanvas(this.width, this.height), context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, this.width, this.height);
    const pixels = context.getImageData(0, 0, this.width, this.height).data;
    for (let i = 0; i < this.data.length; i++) this.data[i] = pixels[4 * i] > 127 ? 255 : 0;
  }
  // As an opaque PNG file, white on black.
  async png() {
    const canvas = new OffscreenCanvas(this.width, this.height), context = canvas.getContext("2d");
    const pixels = new ImageData(this.width, this.height);
    for (let i = 0; i < this.data.length; i++) { pixels.data.fill(this.data[i], 4 * i, 4 * i + 3); pixels.data[4 * i + 3] = 255; }
    context.putImageData(pixels, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }
}

// Rows of a closed outline by the even-odd rule, and of an ellipse in a box.
const polygonRows = (points) => (y) => {
  const middle = y + 0.5, crossings = [];
  points.forEach(([x0, y0], i) => {
    const [x1, y1] = points[(i + 1) % points.length];
    if ((y0 <= middle) !== (y1 <= middle)) crossings.push(x0 + (middle - y0) * (x1 - x0) / (y1 - y0));
  });
  crossings.sort((a, b) => a - b);
  const rows = [];
  for (let i = 0; i + 1 < crossings.length; i += 2) rows.push([Math.ceil(crossings[i] - 0.5), Math.ceil(crossings[i + 1] - 0.5)]);
  return rows;
};
const ellipseRows = ([x0, y0], [x1, y1]) => (y) => {
  const rx = Math.abs(x1 - x0) / 2, ry = Math.abs(y1 - y0) / 2, cx = (x0 + x1) / 2, cy = (y0 + y1) / 2;
  const t = ry ? (y + 0.5 - cy) / ry : 2;
  if (Math.abs(t) > 1) return [];
  const half = rx * Math.sqrt(1 - t * t);
  return [[Math.ceil(cx - half - 0.5), Math.ceil(cx + half - 0.5)]];
};
