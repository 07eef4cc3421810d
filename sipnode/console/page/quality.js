// How a call sounds: while it is up as the relay says every few seconds, afterwards as it counted to the end.
import { get } from './api.js';
import { h, replace, s } from './dom.js';

const EVERY = 4000;
const MOST = 90;
const POOR = 3.1;

export class Quality {
  constructor(id) {
    this.id = id;
    this.node = h('div', { class: 'heard', hidden: true });
    this.legs = [];
    this.past = new Map();
    this.timer = 0;
    this.open = true;
  }

  close() { this.open = false; clearTimeout(this.timer); }

  take(view) {
    this.up = view.live && view.setup.answered;
    if (view.quality.length) {
      this.legs = view.quality;
      this.up = false;
      this.draw(true);
    } else if (this.up && !this.timer) this.ask();
  }

  async ask() {
    try {
      const told = await get('view', { name: 'quality', search: this.id });
      if (this.open && this.up && told.result) { this.legs = told.result; this.note(); this.draw(false); }
    } catch { /* the next one may come */ }
    if (this.open && this.up) this.timer = setTimeout(() => this.ask(), EVERY);
  }

  note() {
    for (const leg of this.legs) {
      const past = this.past.get(leg.tag || leg.address) || [];
      past.push({ mos: leg.mos, lost: leg.lost, jitter: leg.jitter });
      this.past.set(leg.tag || leg.address, past.slice(-MOST));
    }
  }

  draw(over) {
    this.node.hidden = !this.legs.length;
    const reported = (leg, text) => (leg.mos ? text : 'not reported');
    const titles = ['From', 'Packets', 'Lost', 'Jitter', 'MOS', ...(this.past.size ? ['MOS over time'] : [])];
    replace(this.node, h('table', {}, h('caption', {}, over ? 'Sound, as the relay counted it' : 'Sound, as the relay counts it now'),
      h('thead', {}, h('tr', {}, titles.map((title) => h('th', { scope: 'col' }, title)))),
      h('tbody', {}, this.legs.map((leg) => h('tr', { 'data-bad': String(!leg.packets || (leg.mos > 0 && leg.mos < POOR)) },
        h('td', {}, [leg.party, leg.address || 'nowhere'].filter(Boolean).join(' ')), h('td', {}, leg.packets),
        h('td', {}, reported(leg, `${leg.lost} %`)), h('td', {}, reported(leg, `${leg.jitter} ms`)), h('td', {}, reported(leg, leg.mos.toFixed(1))),
        this.past.size ? h('td', {}, this.line(this.past.get(leg.tag || leg.address) || [])) : null)))));
  }

  /** A line of the score, 1 to 4.5; what nobody has reported is a gap. */
  line(past) {
    const width = 140;
    const known = past.map((one, place) => [place, one.mos]).filter(([, mos]) => mos > 0);
    if (known.length < 2) return known.length ? '' : 'nobody has reported yet';
    const x = (place) => 2 + (place * (width - 4)) / Math.max(1, past.length - 1);
    const y = (mos) => 26 - ((Math.min(4.5, mos) - 1) / 3.5) * 24;
    const words = `MOS from ${Math.min(...known.map(([, mos]) => mos)).toFixed(1)} to ${Math.max(...known.map(([, mos]) => mos)).toFixed(1)}`;
    return s('svg', { class: 'spark', width, height: 28, role: 'img', 'aria-label': words }, s('title', {}, words),
      s('line', { class: 'poor', x1: 0, x2: width, y1: y(POOR), y2: y(POOR) }),
      s('polyline', { points: known.map(([place, mos]) => `${x(place).toFixed(1)},${y(mos).toFixed(1)}`).join(' ') }));
  }
}
