// One call: why, where the time went, how it sounded, its ladder, and the message that was clicked.
import { act, encode, get } from './api.js';
import { clock, h, replace, say, span } from './dom.js';
import { Ladder } from './ladder.js';
import { Quality } from './quality.js';

const PARTS = { auth: 'password', database: 'database', dns: 'DNS', relay: 'media relay', callee: 'until the callee said anything', ring: 'ringing', other: 'sipnode and network' };
/** What is covered is covered letter by letter; nobody wants to read all of them. */
const COVERED = /\*{16,}/g;
const FORMS = [['svg', 'SVG'], ['text', 'text'], ['mermaid', 'Mermaid'], ['markdown', 'report'], ['json', 'JSON'], ['pcap', 'pcap']];

export class CallView {
  /** `where`: changes the address to a message of this call, or to none. */
  constructor(main, id, admin, where) {
    this.id = id;
    this.admin = admin;
    this.where = where;
    this.n = -1;
    this.view = null;
    this.onlyChanges = false;
    this.ladder = new Ladder((n) => this.where(n));
    this.head = h('div', { class: 'call-head' });
    this.why = h('div', { class: 'why', hidden: true });
    this.time = h('div', { class: 'setup', hidden: true });
    this.quality = new Quality(id);
    this.heard = this.quality.node;
    this.detail = h('aside', { class: 'detail', id: 'detail', 'aria-label': 'Message', hidden: true, tabindex: '-1' });
    this.split = h('div', { class: 'split' }, this.ladder.node, this.detail);
    replace(main, h('section', { class: 'callview', 'aria-label': 'Call' }, this.head, this.why, h('div', { class: 'figures' }, this.time, this.heard), this.split));
    this.headed(null);
  }

  close() { this.ladder.close(); this.quality.close(); }

  async load() { this.take(await get('call', { id: this.id })); }

  /** The call as it is now. */
  take(view) {
    const news = this.view && view.recorded && view.events.length - this.view.events.length;
    if (news > 0 && view.events.length) say(view.events[view.events.length - 1].label);
    this.view = view;
    this.headed(view);
    this.reasons(view);
    if (!view.recorded) {
      replace(this.split, h('p', { class: 'note' }, `${view.whyNot.charAt(0).toUpperCase()}${view.whyNot.slice(1)}.`));
      return;
    }
    this.times(view);
    this.quality.take(view);
    this.ladder.show(view);
  }

  headed(view) {
    const title = view && view.recorded ? `${view.caller ? name(view.caller) : '?'} → ${view.callee ? name(view.callee) : '?'}` : this.id;
    const state = !view ? '' : !view.recorded ? 'not recorded' : view.live ? 'live' : view.outcome || 'seen';
    const end = this.admin && view && view.live && view.fromTag
      ? h('button', { type: 'button', class: 'danger', click: () => this.end() }, 'End this call') : null;
    const forms = view && view.recorded ? h('span', { class: 'forms' }, 'Save as ', FORMS.map(([form, text]) => [
      h('a', { href: `api/export?id=${encode(this.id)}&form=${form}`, download: '' }, text), ' '])) : null;
    replace(this.head,
      h('a', { class: 'back', href: '#/calls', 'aria-label': 'Back to the calls' }, '←'),
      h('div', { class: 'call-title' }, h('h1', {}, title), h('p', { class: 'fine' }, h('code', {}, view && view.title ? view.title : this.id))),
      h('span', { class: 'mark', 'data-state': view && view.live ? 'live' : bad(view) ? 'failed' : 'ended' }, h('i'), state), end, forms);
  }

  async end() {
    const { dialog, answer } = ask(`End the call ${name(this.view.caller)} → ${name(this.view.callee)}?`, 'End it');
    if (!await answer) return;
    dialog.remove();
    try { await act('dlg.terminate_dlg', [this.id, this.view.fromTag]); } catch (fault) { say(fault.message); alertIn(this.why, fault.message); }
  }

  reasons(view) {
    const { explanation } = view;
    const show = Boolean(explanation && explanation.sentence && view.recorded);
    this.why.hidden = !show;
    if (!show) return;
    const open = this.why.querySelector('details');
    const wasOpen = Boolean(open && open.open);
    this.why.dataset.fault = String(explanation.fault);
    const proofs = explanation.proof.map((each) => h('li', {}, h('a', { href: this.link(each.n) }, `#${each.n}`), ` +${each.after.toFixed(3)} s `, h('span', {}, each.label)));
    replace(this.why,
      h('p', { class: 'sentence', id: 'sentence' }, explanation.sentence),
      explanation.mend ? h('p', { class: 'mend' }, h('b', {}, 'What to do: '), explanation.mend) : null,
      h('details', { open: wasOpen }, h('summary', {}, `Proof (${proofs.length}) and what it was not (${explanation.ruled_out.length})`),
        h('ul', { class: 'proof' }, proofs),
        explanation.ruled_out.length ? [h('h2', {}, 'It was not'), h('ul', {}, explanation.ruled_out.map((each) => h('li', {}, each)))] : null,
        explanation.also.length ? [h('h2', {}, 'Also seen'), h('ul', {}, explanation.also.map((each) => h('li', {}, each)))] : null));
  }

  times(view) {
    const { setup } = view;
    this.time.hidden = setup.whole < 0;
    if (setup.whole < 0) return;
    const whole = Math.max(setup.whole, 1e-6);
    const bars = setup.parts.map(([part, seconds]) => {
      const bar = h('i', { class: `p-${part}`, title: `${PARTS[part]} ${span(seconds)}` });
      bar.style.flexGrow = String(Math.max(0.012, seconds / whole));
      return bar;
    });
    replace(this.time,
      h('p', {}, h('b', {}, `Set-up ${span(setup.whole)}`), setup.answered ? '' : ' so far'),
      h('div', { class: 'bars', 'aria-hidden': 'true' }, bars),
      h('p', { class: 'fine shares' }, setup.parts.map(([part, seconds]) => h('span', {}, h('i', { class: `p-${part}` }), `${PARTS[part]} ${span(seconds)}`))));
  }

  link(n) { return `#/call/${encode(this.id)}${n >= 0 ? `/${n}` : ''}`; }

  // -- one message

  async open(n) {
    this.n = n;
    this.ladder.mark(n);
    if (n < 0) {
      this.detail.hidden = true;
      this.split.classList.remove('opened');
      this.shown = null;
      return;
    }
    let told;
    try { told = await get('message', { id: this.id, n }); } catch (fault) { if (fault.status === 401) throw fault; told = { found: false, whyNot: fault.message }; }
    if (this.n !== n) return;
    this.shown = told;
    this.split.classList.add('opened');
    this.detail.hidden = false;
    this.drawDetail();
    this.detail.scrollTop = 0;
    this.ladder.mark(n);
  }

  drawDetail() {
    const told = this.shown;
    const close = h('button', { type: 'button', class: 'quiet close', 'aria-label': 'Close', click: () => this.where(-1) }, '✕');
    if (!told.found) { replace(this.detail, close, h('p', {}, told.whyNot)); return; }
    const lane = (id) => { const one = this.view.lanes[id]; return one ? one.name : '?'; };
    const rows = [
      ['Between', told.from === told.to ? lane(told.from) : `${lane(told.from)} → ${lane(told.to)}`],
      ['Time', `${clock(told.when)}, +${told.after.toFixed(3)} s`],
      told.place ? ['Where', told.place] : null,
      told.why ? ['Sent as', told.why] : null,
      told.code ? ['Code', told.code] : null,
    ].filter(Boolean);
    const parts = [close, h('h2', { id: 'detail-title' }, h('span', { class: 'fine' }, `#${told.n} `), told.label),
      h('dl', { class: 'facts' }, rows.map(([title, value]) => [h('dt', {}, title), h('dd', {}, value)]))];
    if (told.facts && told.facts.length) parts.push(h('ul', { class: 'plain' }, told.facts.map((each) => h('li', {}, each))));
    if (told.made && told.made.length) {
      parts.push(h('p', {}, 'Passed on as ', told.made.map((each) => [h('a', { href: this.link(each.n) }, `#${each.n} to ${lane(each.to)}`), ' '])));
    } else if (told.of >= 0) {
      parts.push(h('p', {}, 'Made of ', h('a', { href: this.link(told.of) }, `#${told.of}`)));
    }
    if (told.diff && told.diff.length) parts.push(...this.changes(told));
    else if (told.text) parts.push(h('h3', {}, 'Message'), h('pre', { class: 'message', tabindex: '0' }, told.text));
    replace(this.detail, parts);
  }

  changes(told) {
    const changed = told.diff.filter(([sign]) => sign !== ' ').length;
    const between = (told.between || []).filter((each) => each.room !== 'wire');
    const lines = this.onlyChanges ? told.diff.filter(([sign]) => sign !== ' ') : told.diff;
    return [
      h('h3', {}, changed ? 'What sipnode changed' : 'Passed on unchanged'),
      h('p', { class: 'fine' }, `From #${told.before} to #${told.after_n}: ${changed} line${changed === 1 ? '' : 's'}. `,
        h('button', { type: 'button', class: 'link', 'aria-pressed': String(this.onlyChanges), click: () => { this.onlyChanges = !this.onlyChanges; this.drawDetail(); } },
          this.onlyChanges ? 'Show all lines' : 'Only what changed')),
      h('pre', { class: 'message diff', id: 'diff', tabindex: '0' }, lines.map(([sign, line, by], place) => h('span', { class: sign === '+' ? 'in' : sign === '-' ? 'out' : 'same' },
        h('b', {}, sign), line.replace(COVERED, '************'), '\n', by && by !== (lines[place + 1] || [])[2] ? h('em', {}, by, '\n') : null))),
      between.length ? h('h3', {}, 'What led to it') : null,
      between.length ? h('ul', { class: 'plain', id: 'decided' }, between.map((each) => h('li', {}, h('a', { href: this.link(each.n) }, `#${each.n}`), ` ${each.label}`,
        each.code ? [' ', h('code', {}, each.code)] : null))) : null,
    ];
  }

  key(event) {
    const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (by !== undefined && this.view && this.view.recorded) {
      const n = this.ladder.next(by);
      if (this.n >= 0) this.where(n); else this.ladder.mark(n);
      this.ladder.focus(n);
      return true;
    }
    if (event.key === 'd' && this.shown && this.shown.diff) { this.onlyChanges = !this.onlyChanges; this.drawDetail(); return true; }
    if (event.key === 'Escape') {
      if (this.n >= 0) { const n = this.n; this.where(-1); this.ladder.mark(n); this.ladder.focus(n); } else location.hash = '#/calls';
      return true;
    }
    if (event.key === 'Enter' && this.ladder.at >= 0 && this.n !== this.ladder.at) { this.where(this.ladder.at); return true; }
    return false;
  }
}

/** "alice" of a From or To. */
function name(text) {
  const found = /^\s*(?:"([^"]*)"|([^<"]*?))\s*<sips?:([^@>;]+)/.exec(text) || [];
  return (found[1] || found[2] || found[3] || text).trim();
}

const bad = (view) => Boolean(view && view.recorded && view.explanation && view.explanation.fault);

function alertIn(node, text) { node.hidden = false; node.prepend(h('p', { class: 'fault', role: 'alert' }, text)); }

/** Ask before something is done. */
export function ask(question, yes) {
  const dialog = h('dialog', { class: 'ask' }, h('p', {}, question), h('form', { method: 'dialog' },
    h('button', { value: 'no', class: 'plain-button' }, 'No'), h('button', { value: 'yes', class: 'danger' }, yes)));
  document.body.append(dialog);
  const answer = new Promise((done) => { dialog.addEventListener('close', () => { dialog.remove(); done(dialog.returnValue === 'yes'); }); });
  dialog.showModal();
  return { dialog, answer };
}
