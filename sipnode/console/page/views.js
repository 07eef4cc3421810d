// Tables of what the server has beside calls: registrations, flows, nodes, certificates, bans, settings, its history.
import { act, get } from './api.js';
import { ask } from './call.js';
import { clock, h, replace, say, span } from './dom.js';

const REFRESH = 5000;

export class View {
  constructor(main, name, admin, search, changed) {
    this.name = name;
    this.admin = admin;
    this.search = search;
    this.title = h('h1', {}, name);
    this.input = h('input', { id: 'search', type: 'search', 'aria-label': 'Search', placeholder: 'search …', autocomplete: 'off', spellcheck: 'false',
      input: () => { this.search = this.input.value; changed(this.search); this.soon(); } });
    this.input.value = search;
    this.note = h('p', { class: 'note', hidden: true });
    this.box = h('div', { class: 'table-box', tabindex: '0', role: 'region', 'aria-label': 'Table' });
    this.acts = h('div', { class: 'acts' });
    replace(main, h('section', { class: 'view' }, h('div', { class: 'bar' }, this.title, this.input, this.acts), this.note, this.box));
    this.open = true;
  }

  close() { this.open = false; clearTimeout(this.timer); }

  look(search) { if (search !== this.search) { this.search = search; this.input.value = search; this.soon(); } }

  soon() { clearTimeout(this.timer); this.timer = setTimeout(() => this.load(), 150); }

  async load() {
    clearTimeout(this.timer);
    try {
      const told = await get('view', { name: this.name, search: this.search });
      if (this.open) this.draw(told);
    } catch (fault) {
      if (fault.status === 401) throw fault;
      this.say(fault.message);
    }
    if (this.open) this.timer = setTimeout(() => this.load().catch(() => {}), REFRESH);
  }

  say(text, matters = true) { this.note.hidden = !text; this.note.textContent = text; this.note.className = matters ? 'note' : 'info'; }

  draw(told) {
    this.title.textContent = told.title;
    const more = told.more > 0 ? `${told.more} more aren’t shown; search for what you want. ` : '';
    this.say(told.rows.length ? `${more}${told.note || ''}` : told.empty || 'There is nothing here.', Boolean(told.warn) || more !== '');
    if (this.admin) replace(this.acts, (told.acts || []).map((one) => this.button(one, {})));
    const acts = this.admin ? told.rowActs || [] : [];
    // A table in which something is chosen or held stays as it is.
    const held = this.box.contains(document.activeElement) && document.activeElement !== this.box;
    if (held && this.box.firstChild) return;
    replace(this.box, h('table', {}, h('thead', {}, h('tr', {}, told.columns.map(([, title]) => h('th', { scope: 'col' }, title)), acts.length ? h('th', {}, '') : null)),
      h('tbody', {}, told.rows.map((row) => h('tr', { 'data-bad': row.bad ? 'true' : undefined }, told.columns.map(([key, title, kind]) => h('td', { class: `k-${kind}`, 'data-title': title }, shown(row[key], kind))),
        acts.length ? h('td', { class: 'k-acts' }, acts.map((one) => this.button(one, row))) : null)))));
  }

  button(one, row) {
    const params = one.params.map((each) => (typeof each === 'string' && each.startsWith('$') ? row[each.slice(1)] : each));
    if (one.when && !row[one.when]) return null;
    const named = String(params.filter((_, place) => String(one.params[place]).startsWith('$')).pop() ?? '');
    return h('button', { type: 'button', class: one.danger ? 'danger small' : 'small', click: async () => {
      if (one.ask && !await ask(one.ask.replace('{}', named), one.title).answer) return;
      try {
        const result = await act(one.method, params);
        this.say(result && Array.isArray(result.done) ? [...result.done, ...result.refused].join('; ') : 'Done.');
        say('Done.');
      } catch (fault) { this.say(fault.message); say(fault.message); }
      document.activeElement.blur();
      this.soon();
    } }, one.title);
  }

  key() { return false; }
}

function shown(value, kind) {
  if (value === null || value === undefined || value === '') return '';
  if (kind === 'time') return value ? clock(value) : '';
  if (kind === 'span') return span(value);
  if (kind === 'yes') return value ? 'yes' : 'no';
  if (kind === 'list') return value.join(', ');
  if (kind === 'mark') return h('span', { class: 'mark', 'data-state': value[0] }, h('i'), value[1]);
  return String(value);
}
