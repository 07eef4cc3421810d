// The list of calls: thousands of lines, of which those in sight are there.
import { $, brief, clock, h, replace, span } from './dom.js';
import { encode, get } from './api.js';

const WORDS = ['calls', 'problems', 'live', 'failed', 'one-way', 'no-audio', 'bad-sound', 'slow-setup', 'nat', 'repeats', 'unreadable', 'kept'];
const ALWAYS = ['calls', 'problems', 'one-way', 'slow-setup', 'nat'];
const MORE = 12;

const fitsWord = (line, word) => (word === 'calls' ? line.method === 'INVITE' : line.words.includes(word));

export class List {
  /** `search`: what is looked for; `changed`: told when that changes. */
  constructor(changed) {
    this.changed = changed;
    this.calls = new Map();
    this.shown = [];
    this.on = true;
    this.loaded = false;
    this.fault = '';
    this.search = '';
    this.selected = '';
    this.rows = new Map();
    this.tick = 0;
  }

  // -- the calls

  async load() {
    try {
      const { on, calls } = await get('calls');
      this.on = on;
      this.calls = new Map(calls.map((one) => [one.id, one]));
      this.fault = '';
    } catch (fault) {
      if (fault.status === 401) throw fault;
      this.fault = fault.message;
    }
    this.loaded = true;
    this.refresh();
  }

  /** Lines that are new or have changed. */
  take(lines) {
    for (const line of lines) this.calls.set(line.id, line);
    this.refresh();
  }

  refresh() {
    if (this.tick || !this.box) return;
    this.tick = requestAnimationFrame(() => { this.tick = 0; this.draw(); });
  }

  matches() {
    const wanted = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (line) => wanted.every((word) => (WORDS.includes(word)
      ? fitsWord(line, word)
      : [line.caller, line.callee, line.id, line.place, line.outcome, line.transport].some((text) => text.toLowerCase().includes(word))
        || line.method.toLowerCase() === word));
    return Array.from(this.calls.values()).filter(fits).sort((a, b) => b.began - a.began);
  }

  // -- the screen

  open(main, search) {
    this.search = search;
    this.rows.clear();
    this.input = h('input', {
      id: 'search', type: 'search', placeholder: 'caller, callee, Call-ID, address, method …', 'aria-label': 'Search calls', value: search,
      autocomplete: 'off', spellcheck: 'false',
      input: () => this.look(this.input.value),
      keydown: (event) => {
        if (event.key === 'ArrowDown' || event.key === 'Enter') { event.preventDefault(); this.move(0); }
      },
    });
    this.input.value = search;
    this.chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filters' });
    this.count = h('p', { class: 'count', role: 'status' });
    this.inner = h('div', { class: 'calls-inner' });
    this.note = h('div', { class: 'note', hidden: true });
    this.box = h('div', { id: 'calls', class: 'calls', scroll: () => this.window() }, this.inner);
    const titles = ['Time', 'State', 'Call', 'Way', 'Set-up', 'Remarks'].map((title) => h('span', {}, title));
    replace(main, h('section', { class: 'list', 'aria-label': 'Calls' },
      h('div', { class: 'bar' }, this.input, this.count), this.chips, this.note,
      h('div', { class: 'titles', 'aria-hidden': 'true' }, titles), this.box));
    this.sizes = new ResizeObserver(() => this.window());
    this.sizes.observe(this.box);
    this.draw();
  }

  close() {
    if (this.sizes) this.sizes.disconnect();
    this.box = null;
  }

  /** Look for something else; `told`: the address says so already. */
  look(search, told = false) {
    if (told && this.search === search) return;
    this.search = search;
    if (told) this.input.value = search; else this.changed(search);
    if (this.box) { this.box.scrollTop = 0; this.draw(); }
  }

  toggle(word) {
    const words = this.search.split(/\s+/).filter(Boolean);
    const next = words.includes(word) ? words.filter((one) => one !== word) : [...words, word];
    this.input.value = next.join(' ');
    this.look(this.input.value);
  }

  draw() {
    if (!this.box) return;
    this.shown = this.matches();
    this.height = matchMedia('(max-width: 45rem)').matches ? 62 : 42;
    this.inner.style.height = `${this.shown.length * this.height}px`;
    this.count.textContent = this.loaded ? `${this.shown.length} of ${this.calls.size}` : 'loading …';
    this.drawChips();
    const note = !this.on ? 'Nothing is recorded: [recorder] enabled is false. Calls happen, and this page can’t know of them.'
      : this.fault ? this.fault
        : this.loaded && !this.calls.size ? 'No call has been recorded yet. The next one appears here by itself.'
          : this.loaded && !this.shown.length ? 'No recorded call fits.' : '';
    this.note.hidden = !note;
    this.note.textContent = note;
    this.window();
  }

  drawChips() {
    const wanted = this.search.toLowerCase().split(/\s+/);
    const counts = new Map(WORDS.map((word) => [word, 0]));
    for (const line of this.calls.values()) for (const word of WORDS) if (fitsWord(line, word)) counts.set(word, counts.get(word) + 1);
    for (const word of WORDS) {
      let chip = this.chips.querySelector(`[data-word="${word}"]`);
      if (!chip) {
        chip = h('button', { type: 'button', class: 'chip', 'data-word': word, click: () => this.toggle(word) }, h('span', {}, word), h('b'));
        this.chips.append(chip);
      }
      const pressed = wanted.includes(word);
      chip.setAttribute('aria-pressed', String(pressed));
      chip.hidden = !pressed && !counts.get(word) && !ALWAYS.includes(word);
      chip.lastChild.textContent = String(counts.get(word));
    }
  }

  /** The rows that are in sight. */
  window() {
    if (!this.box) return;
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - MORE);
    const last = Math.min(this.shown.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + MORE);
    const wanted = new Set();
    for (let at = first; at < last; at += 1) {
      const line = this.shown[at];
      wanted.add(line.id);
      let row = this.rows.get(line.id);
      if (!row || row.line !== line) {
        const node = this.row(line, row && row.node);
        if (!row) this.inner.append(node);
        row = { node, line };
        this.rows.set(line.id, row);
      }
      const top = `translateY(${at * this.height}px)`;
      if (row.node.style.transform !== top) row.node.style.transform = top;
    }
    for (const [id, row] of this.rows) if (!wanted.has(id)) { row.node.remove(); this.rows.delete(id); }
  }

  row(line, old) {
    const node = old || h('a', { class: 'call', focus: () => { this.selected = line.id; } });
    node.setAttribute('href', `#/call/${encode(line.id)}`);
    node.dataset.state = line.state;
    const state = { live: 'live', failed: 'failed', ended: 'ended', seen: 'seen' }[line.state] || line.state;
    const words = line.words.filter((word) => word !== 'live' && word !== 'failed' && word !== 'problems');
    replace(node,
      h('span', { class: 'when', title: clock(line.began) }, brief(line.began)),
      h('span', { class: 'mark' }, h('i'), line.outcome && line.state === 'failed' ? line.outcome : state),
      h('span', { class: 'who' }, h('b', {}, line.method && line.method !== 'INVITE' ? `${line.method} ` : ''), line.caller || '?', ' → ', line.callee || '?'),
      h('span', { class: 'way' }, h('span', { class: `wire t-${/^[a-z]+$/.test(line.transport) ? line.transport : 'none'}` }, line.transport.toUpperCase()), ' ', h('span', { class: 'place' }, line.place)),
      h('span', { class: 'took' }, line.setup >= 0 ? span(line.setup) : ''),
      h('span', { class: 'words' }, words.map((word) => h('em', { 'data-word': word }, word))));
    return node;
  }

  /** Go some rows on; 0 goes to the one that was selected last, or the first. */
  move(by) {
    if (!this.shown.length) return;
    const at = this.shown.findIndex((line) => line.id === this.selected);
    const next = at < 0 ? 0 : Math.max(0, Math.min(this.shown.length - 1, at + by));
    this.selected = this.shown[next].id;
    const top = next * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.height - this.box.clientHeight;
    this.window();
    const row = this.rows.get(this.selected);
    if (row) row.node.focus({ preventScroll: true });
  }

  key(event) {
    const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 12, PageUp: -12, Home: -1e9, End: 1e9 }[event.key];
    if (by === undefined) return false;
    this.move(by);
    return true;
  }
}

export const focusSearch = () => { const input = $('search'); if (input) { input.focus(); input.select(); } return Boolean(input); };
