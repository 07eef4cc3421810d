// The picture of a call: both voices along one wire, theirs above it and yours below; the newest sound is in the middle.

const STEP_MS = 50;
const BAR = 3;
const GAP = 3;
const FLOOR = -56;

/** Decibels as 0…1. */
export const share = (db) => Math.min(1, Math.max(0, (db - FLOOR) / (-8 - FLOOR)));

export class Wave {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext('2d');
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
    this.clear();
  }

  clear() {
    this.far = [];
    this.near = [];
    this.last = 0;
  }

  /** One moment: levels as 0…1. */
  push(now, far, near) {
    if (now - this.last < STEP_MS) {
      if (this.far.length) {
        this.far[0] = Math.max(this.far[0], far);
        this.near[0] = Math.max(this.near[0], near);
      }
      return;
    }
    this.last = now;
    this.far.unshift(far);
    this.near.unshift(near);
    this.far.length = Math.min(this.far.length, 200);
    this.near.length = Math.min(this.near.length, 200);
  }

  draw() {
    const { canvas, pen } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(canvas);
    const colours = [style.getPropertyValue('--far-colour'), style.getPropertyValue('--near-colour'), style.getPropertyValue('--line')];
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const middle = height / 2;
    const reach = middle - 5;
    const centre = width / 2;
    const count = Math.floor(centre / (BAR + GAP));
    for (let i = 0; i < count; i += 1) {
      // Without motion the same bars stand for the level of now, like a meter, instead of running outwards.
      const still = this.still.matches;
      const fade = (1 - i / count) ** 0.8;
      const lit = (values) => (still ? (i / count < (values[0] || 0) ? 0.55 : 0) : (values[i] || 0) * (0.35 + 0.65 * fade));
      const far = lit(this.far);
      const near = lit(this.near);
      for (const side of i ? [-1, 1] : [1]) {
        const x = centre + side * i * (BAR + GAP) - BAR / 2;
        pen.globalAlpha = 0.25 + 0.75 * fade;
        this.#bar(x, middle, -Math.max(2, far * reach), far > 0.02 ? colours[0] : colours[2]);
        this.#bar(x, middle, Math.max(2, near * reach), near > 0.02 ? colours[1] : colours[2]);
      }
    }
    pen.globalAlpha = 1;
  }

  #bar(x, middle, length, colour) {
    const { pen } = this;
    const top = length < 0 ? middle - 2 + length : middle + 2;
    pen.fillStyle = colour;
    pen.beginPath();
    if (pen.roundRect) pen.roundRect(x, top, BAR, Math.abs(length), BAR / 2); else pen.rect(x, top, BAR, Math.abs(length));
    pen.fill();
  }
}
