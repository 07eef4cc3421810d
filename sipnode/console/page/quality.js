// How a call sounds: while it is up as the relay says every few seconds, afterwards as it counted to the end.
import { get } from './api.js';
import { h, replace, s } from './dom.js';

const EVERY = 4000;
const MOST = 90;
const POOR = 3.1;

/** Whose fault it is, as far as counts tell. */
function remark(leg) {
  if (!leg.packets) return 'nothing arrives from here: its microphone, its NAT or its firewall';
  if (leg.mos > 0 && leg.mos < POOR) return leg.lost >= leg.jitter / 10 ? 'the other end hears it with gaps: packets are lost' : 'the other end hears it badly: packets come unevenly';
  return '';
}

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
    const cell = (leg, key, text, most, least = 0, poor = undefined) => h('td', {}, leg.mos ? text : 'not reported', this.line(leg, key, least, most, poor));
    replace(this.node, h('table', {}, h('caption', {}, over ? 'Sound, as the relay counted it' : 'Sound, as the relay counts it now'),
      h('thead', {}, h('tr', {}, ['From', 'Packets', 'Lost', 'Jitter', 'MOS', ...(this.legs.some(remark) ? [''] : [])].map((title) => h('th', { scope: 'col' }, title)))),
      h('tbody', {}, this.legs.map((leg) => h('tr', { 'data-bad': String(!leg.packets || (leg.mos > 0 && leg.mos < POOR)) },
        h('td', {}, [leg.party, leg.address || 'nowhere'].filter(Boolean).join(' ')), h('td', {}, leg.packets),
        cell(leg, 'lost', `${leg.lost} %`, 10), cell(leg, 'jitter', `${leg.jitter} ms`, 100), cell(leg, 'mos', leg.mos.toFixed(1), 4.5, 1, POOR), remark(leg) ? h('td', {}, remark(leg)) : null)))));
  }

  /** A value over time; what nobody has reported is a gap. `poor`: a line below which it is bad. */
  line(leg, key, least, most, poor) {
    const past = this.past.get(leg.tag || leg.address) || [];
    const known = past.map((one, place) => [place, one.mos ? one[key] : -1]).filter(([, value]) => value >= 0);
    if (known.length < 2) return null;
    const [width, height] = [96, 22];
    const x = (place) => 2 + (place * (width - 4)) / Math.max(1, past.length - 1);
    const y = (value) => height - 2 - ((Math.max(least, Math.min(most, value)) - least) / (most - least)) * (height - 4);
    const values = known.map(([, value]) => value);
    const words = `from ${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
    return s('svg', { class: 'spark', width, height, role: 'img', 'aria-label': words }, s('title', {}, words),
      poor ? s('line', { class: 'poor', x1: 0, x2: width, y1: y(poor), y2: y(poor) }) : null,
      s('polyline', { points: known.map(([place, value]) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`).join(' ') }));
  }
}
