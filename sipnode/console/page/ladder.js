// The ladder: lanes of those who took part, an arrow for each message, as SVG.
import { clock, h, replace, s, span } from './dom.js';

const ROW = 34;
const HEAD = 54;
const TIME = 74;
const NARROW_TIME = 54;
const LEAST = 112;
const NARROW_LEAST = 84;
const WIRES = ['udp', 'tcp', 'tls', 'ws', 'wss'];
const ROOMS = { media: 'ng', dns: 'DNS', database: 'database', script: 'script' };
const KINDS = { media: 'ng', dns: 'dns', database: 'database', script: 'script' };

const known = (transport) => (WIRES.includes(transport) ? transport : 'none');

/** Which class an arrow has: by its transport, or by who was asked. */
const kindOf = (event) => (event.room === 'wire' ? `t-${known(event.transport)}` : KINDS[event.room] ? `r-${KINDS[event.room]}` : 'r-note');

export class Ladder {
  /** `chosen`: called with the number of an event that somebody wants to see. */
  constructor(chosen) {
    this.chosen = chosen;
    this.view = null;
    this.at = -1;
    this.svg = null;
    this.rows = new Map();
    this.box = h('div', { class: 'ladder', id: 'ladder' });
    this.legend = h('div', { class: 'legend', 'aria-hidden': 'true' });
    this.node = h('div', { class: 'ladder-whole' }, this.box, this.legend);
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.box);
  }

  close() { this.sizes.disconnect(); }

  show(view) {
    const near = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 2 * ROW;
    const grown = this.view && view.events.length > this.view.events.length;
    this.view = view;
    this.width = 0;
    this.draw();
    // Who looks at the end goes on looking at the end.
    if (grown && near && this.at < 0) this.box.scrollTop = this.box.scrollHeight;
  }

  draw() {
    const { view } = this;
    const wide = this.box.clientWidth;
    if (!view || !wide || wide === this.width) return;
    this.width = wide;
    const narrow = wide < 640;
    const time = narrow ? NARROW_TIME : TIME;
    const lanes = view.lanes.length;
    const lane = Math.max(narrow ? NARROW_LEAST : LEAST, Math.min(340, (wide - time - 8) / Math.max(1, lanes)));
    const width = Math.max(wide - 2, time + lane * lanes + 8);
    const height = HEAD + ROW * view.events.length + 14;
    this.x = (id) => time + lane * (id + 0.5);
    this.laneWidth = lane;
    this.rows.clear();
    const head = s('svg', { class: 'lanes', width, height: HEAD, 'aria-hidden': 'true' });
    const body = s('svg', { width, height: height - HEAD, role: 'group', 'aria-label': 'Events' });
    for (const one of view.lanes) {
      head.append(this.laneHead(one, lane));
      body.append(s('line', { class: `lane l-${one.kind}`, x1: this.x(one.id), x2: this.x(one.id), y1: 0, y2: height - HEAD }));
    }
    let before = 0;
    view.events.forEach((event, place) => {
      const row = this.row(event, place, event.after - before, time, width, narrow);
      before = event.after;
      this.rows.set(event.n, row);
      body.append(row);
    });
    replace(this.box, head, body);
    this.svg = body;
    this.drawLegend();
    this.mark(this.at, false);
  }

  laneHead(one, wide) {
    const x = this.x(one.id);
    const letters = Math.floor(wide / 7.2);
    const cut = (text) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);
    const below = one.device || (one.kind === 'peer' ? one.places[0] || '' : one.kind === 'sipnode' ? '' : '');
    return s('g', { class: `lane-head l-${one.kind}` },
      s('title', {}, [one.name, one.device, ...one.places].filter(Boolean).join('\n')),
      s('rect', { x: x - wide / 2 + 4, y: 6, width: wide - 8, height: HEAD - 12, rx: 8 }),
      s('text', { x, y: below ? 25 : 33, class: 'name' }, cut(one.name)),
      below ? s('text', { x, y: 40, class: 'device' }, cut(below)) : null);
  }

  row(event, place, delta, time, width, narrow) {
    const y = ROW * place + ROW - 10;
    const kind = kindOf(event);
    const group = s('g', {
      class: `event ${kind}${event.repeat ? ' repeat' : ''}${event.lost ? ' lost' : ''}${event.status >= 400 && event.status !== 401 && event.status !== 407 ? ' bad' : ''}`,
      tabindex: '-1', role: 'button', 'data-n': event.n,
      'aria-label': `${event.n}: ${event.label}, ${span(event.after)} after the beginning`,
      click: () => this.chosen(event.n),
      keydown: (pressed) => { if (pressed.key === 'Enter' || pressed.key === ' ') { pressed.preventDefault(); this.chosen(event.n); } },
      focus: () => this.mark(event.n, false),
    });
    group.append(s('rect', { class: 'row', x: 0, y: ROW * place, width, height: ROW }));
    group.append(s('text', { class: 'time', x: time - 8, y: y - 6 }, `+${event.after.toFixed(3)}`));
    if (!narrow && place && delta >= 0.0005) group.append(s('text', { class: 'delta', x: time - 8, y: y + 5 }, `Δ ${span(delta)}`));
    const from = this.x(event.from);
    const to = this.x(event.to);
    if (event.from === event.to) {
      group.append(s('circle', { class: 'dot', cx: from, cy: y - 4, r: 4 }));
      const left = event.from > (this.view.lanes.length - 1) / 2;
      group.append(s('text', { class: 'label self', x: left ? from - 10 : from + 10, y, 'text-anchor': left ? 'end' : 'start' }, this.cut(event.short, (left ? from - time : width - from) - 14)));
      return group;
    }
    const way = to > from ? 1 : -1;
    const tip = to - way * 2;
    group.append(s('line', { class: 'arrow', x1: from + way * 2, x2: tip - way * 6, y1: y, y2: y }));
    group.append(event.lost
      ? s('path', { class: 'tip cross', d: `M${tip - way * 9} ${y - 5}L${tip - way * 1} ${y + 5}M${tip - way * 9} ${y + 5}L${tip - way * 1} ${y - 5}` })
      : s('path', { class: 'tip', d: `M${tip} ${y}L${tip - way * 9} ${y - 4.5}V${y + 4.5}Z` }));
    const tag = event.room === 'wire' ? (event.transport || '').toUpperCase() : '';
    const room = Math.abs(to - from) - (tag && !narrow ? 46 : 16);
    const middle = (from + to) / 2;
    const short = this.cut((event.repeat ? '↻ ' : '') + event.short, Math.max(room, this.laneWidth - 20));
    group.append(s('text', { class: 'label', x: middle, y: y - 6, 'text-anchor': 'middle' }, short));
    if (tag && !narrow) group.append(s('text', { class: 'tag', x: from + way * 6, y: y + 11, 'text-anchor': way > 0 ? 'start' : 'end' }, tag));
    group.append(s('title', {}, event.label));
    return group;
  }

  cut(text, room) {
    const letters = Math.max(4, Math.floor(room / 7));
    return text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
  }

  drawLegend() {
    const wires = WIRES.filter((wire) => this.view.events.some((one) => one.room === 'wire' && one.transport === wire));
    const rooms = Object.keys(ROOMS).filter((room) => this.view.events.some((one) => one.room === room));
    const sample = (kind, text, extra = '') => h('span', { class: `sample ${kind}${extra}` },
      s('svg', { width: 30, height: 10 }, s('line', { class: 'arrow', x1: 1, x2: 22, y1: 5, y2: 5 }), s('path', { class: 'tip', d: 'M29 5L21 1V9Z' })), text);
    replace(this.legend,
      wires.map((wire) => sample(`t-${wire}`, wire.toUpperCase())),
      rooms.map((room) => sample(`r-${KINDS[room]}`, ROOMS[room])),
      this.view.events.some((one) => one.repeat) ? sample('t-none', 'sent once more', ' repeat') : null,
      h('span', { class: 'began' }, `began ${clock(this.view.began)}`));
  }

  /** Show which event is meant. */
  mark(n, scroll = true) {
    const old = this.rows.get(this.at);
    if (old) { old.classList.remove('on'); old.setAttribute('tabindex', '-1'); }
    this.at = n;
    const row = this.rows.get(n);
    const first = this.rows.values().next().value;
    if (!row) { if (first) first.setAttribute('tabindex', '0'); return; }
    row.classList.add('on');
    row.setAttribute('tabindex', '0');
    if (!scroll) return;
    const place = this.view.events.findIndex((one) => one.n === n);
    const top = HEAD + ROW * place;
    if (top < this.box.scrollTop + HEAD) this.box.scrollTop = Math.max(0, top - HEAD - ROW);
    else if (top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + 2 * ROW - this.box.clientHeight;
  }

  /** Number of the event that is so many further on. */
  next(by) {
    const { events } = this.view || { events: [] };
    if (!events.length) return -1;
    const at = events.findIndex((one) => one.n === this.at);
    return events[at < 0 ? (by > 0 ? 0 : events.length - 1) : Math.max(0, Math.min(events.length - 1, at + by))].n;
  }

  focus(n) {
    const row = this.rows.get(n);
    if (row) row.focus({ preventScroll: true });
  }
}
