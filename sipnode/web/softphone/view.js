// What is on the screen. Only this module touches the document's structure; nothing here knows SIP.
import { language, t } from './text.js';
import { clock, presence, presenceFault } from './words.js';
import { share, Wave } from './wave.js';

export const $ = (id) => document.getElementById(id);
const KEYS = [['1', ''], ['2', 'abc'], ['3', 'def'], ['4', 'ghi'], ['5', 'jkl'], ['6', 'mno'], ['7', 'pqrs'], ['8', 'tuv'], ['9', 'wxyz'], ['*', ''], ['0', '+'], ['#', '']];
const NAMES = { '*': 'key.star', '#': 'key.hash' };
const SVG = 'http://www.w3.org/2000/svg';

export function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}
const setIcon = (holder, name) => holder.querySelector('use').setAttribute('href', `#i-${name}`);
function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

/** For screen readers: politely, or at once. */
export function say(text, urgent = false) {
  const node = $(urgent ? 'shouted' : 'said');
  node.textContent = '';
  setTimeout(() => { node.textContent = text; }, 60);
}

/** One of eight colours, the same for a name at every place and time. */
export function paint(avatar, name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 9973;
  avatar.dataset.paint = String(sum % 8);
  const parts = name.split(/[\s._-]+/).filter(Boolean);
  const letters = parts.length > 1 ? parts[0][0] + parts[1][0] : (Array.from(name).slice(0, 1).join('') || '?');
  setText(avatar, letters.toUpperCase());
}

export function screen(name) {
  document.body.dataset.screen = name;
  $('signin').hidden = name !== 'signin';
  $('phone').hidden = name !== 'phone';
}

export function tab(name) {
  document.body.dataset.tab = name;
  for (const button of document.querySelectorAll('.side .switch [data-tab]')) {
    button.setAttribute('aria-pressed', String(button.dataset.tab === (name === 'recent' ? 'recent' : 'people')));
  }
  for (const button of document.querySelectorAll('.tabs [data-tab]')) {
    if (button.dataset.tab === name) button.setAttribute('aria-current', 'page'); else button.removeAttribute('aria-current');
  }
}

/** Twelve keys into `holder`. */
export function pad(holder, pressed) {
  // One stop of the Tab key; the arrows go from key to key (WAI-ARIA, roving tabindex).
  const stops = () => Array.from(holder.children);
  const stopAt = (node) => { for (const one of stops()) one.tabIndex = one === node ? 0 : -1; };
  holder.addEventListener('focusin', (event) => stopAt(event.target));
  holder.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -holderColumns(holder), ArrowDown: holderColumns(holder) }[event.key];
    const to = event.key === 'Home' ? 0 : event.key === 'End' ? KEYS.length - 1 : stops().indexOf(event.target) + step;
    if ((step || event.key === 'Home' || event.key === 'End') && stops()[to]) {
      stops()[to].focus();
      event.preventDefault();
    }
  });
  for (const [key, letters] of KEYS) {
    const button = element('button', 'key');
    button.type = 'button';
    button.dataset.key = key;
    const small = element('i', '', letters);
    small.setAttribute('aria-hidden', 'true');
    button.append(element('b', '', key), small);
    if (NAMES[key]) { button.dataset.tLabel = NAMES[key]; button.setAttribute('aria-label', t(NAMES[key])); }
    button.addEventListener('click', () => pressed(key));
    if (key === '0') {
      let timer = 0;
      let long = false;
      const stop = () => clearTimeout(timer);
      button.addEventListener('pointerdown', () => { long = false; timer = setTimeout(() => { long = true; pressed('+'); }, 550); });
      button.addEventListener('pointerup', stop);
      button.addEventListener('pointerleave', stop);
      button.addEventListener('click', (event) => { if (long) event.stopImmediatePropagation(); }, { capture: true });
    }
    holder.append(button);
  }
  stopAt(holder.firstElementChild);
}
const holderColumns = (holder) => getComputedStyle(holder).gridTemplateColumns.split(' ').length;
export function flash(holder, key) {
  const button = holder.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!button) return;
  button.classList.add('down');
  setTimeout(() => button.classList.remove('down'), 120);
}

// ---- sign-in

export function signInError(fault) {
  const box = $('signin-error');
  box.hidden = !fault;
  if (fault) {
    setText($('signin-error-title'), fault.title);
    setText($('signin-error-text'), fault.text);
    $('signin-link').hidden = true;
  }
}
/** The form as a link filled it in: it says so, and its button waits a moment. */
export function linked(ms) {
  const button = $('signin-button');
  const note = $('signin-link');
  note.hidden = false;
  button.disabled = true;
  setTimeout(() => {
    button.disabled = false;
    if ($('password').value && document.body.dataset.screen === 'signin') button.focus();
  }, ms);
  for (const id of ['user', 'password']) $(id).addEventListener('input', () => { note.hidden = true; }, { once: true });
}
export function signInBusy(busy) {
  const button = $('signin-button');
  if (busy) $('signin-link').hidden = true;
  button.classList.toggle('busy', busy);
  button.setAttribute('aria-busy', String(busy));
  button.dataset.t = busy ? 'signin.going' : 'signin';
  setText(button, t(button.dataset.t));
}

// ---- line

export function line(state) {
  $('me-line').dataset.line = state;
  setText($('me-line-text'), t(`state.${state}`));
}

/** A notice across the page: {title, text, count, button: [words, action]} or null. */
let bannerAction = null;
export function banner(notice) {
  const box = $('banner');
  if (!notice) {
    box.hidden = true;
    return;
  }
  box.hidden = false;
  box.classList.toggle('mild', Boolean(notice.mild));
  setText($('banner-title'), notice.title);
  setText($('banner-text'), notice.text);
  setText($('banner-count'), notice.count || '');
  const button = $('banner-button');
  button.hidden = !notice.button;
  bannerAction = notice.button ? notice.button[1] : null;
  if (notice.button) setText(button, notice.button[0]);
}
$('banner-button').addEventListener('click', () => { if (bannerAction) bannerAction(); });

// ---- lists

/** Rows that are the same stay the same nodes, so that focus and screen readers stay where they are. */
function rows(list, items, make, update) {
  const old = new Map(Array.from(list.children, (node) => [node.dataset.key, node]));
  let before = list.firstElementChild;
  for (const item of items) {
    let node = old.get(item.key);
    if (node) old.delete(item.key); else { node = make(item); node.dataset.key = item.key; }
    update(node, item);
    if (node === before) before = before.nextElementSibling; else list.insertBefore(node, before);
  }
  for (const node of old.values()) node.remove();
}

/** A name on a row, "Call …" to those who hear it. */
function called(name) {
  const bold = element('b', '', name);
  bold.prepend(element('span', 'visually-hidden', `${t('call')} `));
  return bold;
}

export function people(list, { filter, trouble, choose }) {
  const all = list || [];
  const wanted = filter ? all.filter((p) => p.user.toLowerCase().includes(filter.toLowerCase())) : all;
  rows($('people-list'), wanted.map((p) => ({ ...p, key: p.user })), (p) => {
    const item = element('li');
    const button = element('button', 'row');
    button.type = 'button';
    const avatar = element('span', 'avatar');
    avatar.setAttribute('aria-hidden', 'true');
    paint(avatar, p.user);
    const text = element('span', 'row-text');
    text.append(called(p.user), element('span', 'row-state'));
    const go = element('span', 'row-go');
    go.append(icon('phone'));
    button.append(avatar, text, go);
    button.addEventListener('click', () => choose(p.user));
    item.append(button);
    return item;
  }, (node, p) => {
    const button = node.firstElementChild;
    button.classList.toggle('online', p.online);
    button.dataset.state = p.state;
    const state = button.querySelector('.row-state');
    setText(state, presence(p.state) + (p.note ? ` · ${p.note}` : ''));
    state.title = p.note;
  });
  const online = all.filter((p) => p.online).length;
  setText($('people-count'), all.length ? t('people.count', { online, all: all.length }) : '');
  const empty = $('people-empty');
  empty.hidden = Boolean(wanted.length) && !trouble;
  setText(empty, trouble || t(list === null ? 'people.looking' : all.length ? 'people.noname' : 'people.nobody'));
}

/** One's own state, {state, note}, and the status with which the server refused it, or 0; null where it has no presence. What is being typed stays. */
export function mine(told, refused) {
  $('mine').hidden = !told;
  if (!told) return;
  $('mine').dataset.state = told.state;
  $('my-state').value = told.state;
  if (document.activeElement !== $('my-note')) $('my-note').value = told.note;
  $('mine-fault').hidden = !refused;
  setText($('mine-fault'), refused ? presenceFault(refused) : '');
}

/** The time, with the day where it isn't today. */
function when(moment) {
  const day = new Date(moment).toDateString() === new Date().toDateString() ? {} : { day: 'numeric', month: 'short' };
  return new Intl.DateTimeFormat(language(), { hour: '2-digit', minute: '2-digit', ...day }).format(moment);
}
export function recent(items, choose) {
  rows($('recent-list'), items.map((r) => ({ ...r, key: String(r.when) })), (r) => {
    const item = element('li');
    const button = element('button', 'row');
    button.type = 'button';
    const mark = element('span', `way ${r.outcome}`);
    mark.append(icon(r.direction === 'in' ? 'in' : 'out'));
    const text = element('span', 'row-text');
    const what = r.outcome === 'answered' ? `${t(`recent.${r.direction}`)}, ${clock(r.seconds)}` : t(`recent.${r.outcome}`);
    text.append(called(r.name), element('span', 'row-state', `${what} · ${when(r.when)}`));
    const go = element('span', 'row-go');
    go.append(icon('phone'));
    button.append(mark, text, go);
    button.addEventListener('click', () => choose(r));
    item.append(button);
    return item;
  }, () => {});
  $('recent-empty').hidden = items.length > 0;
  $('forget').hidden = !items.length;
}

// ---- the call

const wave = new Wave($('wave'));
const BUTTONS = ['mute', 'hold', 'keys', 'camera', 'pass', 'hangup', 'reject', 'answer', 'again', 'close'];
const SHOWN = {
  preparing: ['hangup'], calling: ['hangup'], ringing: ['hangup'], incoming: ['reject', 'answer'], answering: ['hangup'],
  up: ['mute', 'hold', 'keys', 'camera', 'pass', 'hangup'], ended: ['again', 'close'],
};

export function call(current) {
  const box = $('call');
  if (!current) {
    box.hidden = true;
    box.dataset.state = 'none';
    document.body.dataset.call = 'none';
    wave.clear();
    toggleTones(false);
    togglePass(false);
    pictures(null);
    return;
  }
  const { state } = current;
  const held = state === 'up' && (current.held || current.heldByThem);
  if (box.hidden) wave.clear();
  box.hidden = false;
  box.dataset.state = state;
  document.body.dataset.call = state;
  box.classList.toggle('held', held);
  box.classList.toggle('bad', state === 'ended' && current.bad);
  const words = held ? t(current.held ? 'call.held' : 'call.heldbythem', { who: current.peer.name }) : state === 'ended' ? current.fault.title : t(`call.state.${state}`);
  setText($('call-state'), words);
  setText($('call-name'), current.peer.name);
  setText($('call-address'), current.peer.uri.replace(/^sips?:/, '').replace(/[;?].*$/, ''));
  setText($('far-label'), current.peer.name);
  paint($('call-avatar'), current.peer.name);
  for (const id of BUTTONS) $(id).hidden = !SHOWN[state].includes(id);
  $('again').hidden = state !== 'ended' || !current.peer.uri;
  setText($('hangup').querySelector('.word'), t(state === 'up' || state === 'answering' ? 'hangup' : 'cancel'));
  $('mute').setAttribute('aria-pressed', String(current.muted));
  setText($('mute').querySelector('.word'), t(current.muted ? 'unmute' : 'mute'));
  setIcon($('mute'), current.muted ? 'micoff' : 'mic');
  $('hold').setAttribute('aria-pressed', String(current.held));
  $('hold').setAttribute('aria-busy', String(current.waiting));
  setText($('hold').querySelector('.word'), t(current.waiting ? 'waits' : current.held ? 'resume' : 'hold'));
  setIcon($('hold'), current.held ? 'resume' : 'hold');
  const filmed = Boolean(current.picture.mine);
  $('camera').setAttribute('aria-pressed', String(filmed));
  $('camera').setAttribute('aria-busy', String(current.picture.busy));
  setIcon($('camera'), filmed ? 'camoff' : 'cam');
  setText($('camera').querySelector('.word'), t(filmed ? 'camera.off' : 'camera.on'));
  $('pass').setAttribute('aria-busy', String(current.passing));
  setText($('tones-sent'), current.sent);
  pictures(current);
  quality(state === 'up' ? current.quality : null);
  $('wire').hidden = !(state === 'up' || current.early);
  if (state !== 'up') { toggleTones(false); togglePass(false); }
  const note = state === 'ended' ? (current.fault.text ? current.fault : null) : current.offer || current.note;
  $('offer').hidden = !(current.offer && current.live);
  $('call-note').hidden = !note;
  $('call-note').classList.toggle('bad', Boolean(note) && (state !== 'ended' || current.bad));
  if (note) {
    setText($('call-note-title'), state === 'ended' ? '' : note.title);
    setText($('call-note-text'), note.text);
  }
  tick(current);
}

export function tick(current) {
  setText($('call-clock'), current.since ? clock(current.seconds) : '');
}

export function toggleTones(open) {
  $('tones').hidden = !open;
  $('keys').setAttribute('aria-expanded', String(open));
}

/** The panel for handing a call over. */
export function togglePass(open) {
  $('passing').hidden = !open;
  $('pass').setAttribute('aria-expanded', String(open));
  if (open) $('pass-to').value = '';
}

/** Calls beside the one on the screen: who waits, and the way to them. */
export function waiting(list, current, turnTo) {
  rows($('waiting'), list.map((call) => ({ call, key: `${call.when} ${call.peer.uri}` })), ({ call }) => {
    const item = element('li', 'wait');
    const text = element('span', 'row-text');
    text.append(element('b', '', call.peer.name), element('span', 'row-state'));
    const take = element('button', 'small take');
    const end = element('button', 'small end');
    for (const button of [take, end]) button.type = 'button';
    take.addEventListener('click', () => turnTo(call));
    end.addEventListener('click', () => call.hangup(603));
    const both = element('span', 'choices');
    both.append(take, end);
    item.append(text, both);
    return item;
  }, (node, { call }) => {
    const comes = call.state === 'incoming';
    const what = call.offer ? 'waiting.offer' : comes ? 'waiting.incoming' : call.held ? 'call.held' : `call.state.${call.state}`;
    node.classList.toggle('comes', comes);
    setText(node.querySelector('.row-state'), t(what));
    for (const [name, words] of [['take', comes ? 'waiting.take' : 'waiting.turn'], ['end', comes ? 'reject' : 'hangup']]) {
      const button = node.querySelector(`.${name}`);
      setText(button, t(words));
      button.setAttribute('aria-label', `${t(words)}: ${call.peer.name}`);
    }
  });
  $('waiting').hidden = !list.length;
  const other = list.find((one) => one.state === 'up');
  $('pass-join').hidden = !other;
  if (other && current) setText($('pass-join'), t('pass.join', { who: current.peer.name, name: other.peer.name }));
}

/** Their picture in the place of their letters, and ours small beside it. */
function pictures(current) {
  const { mine, theirs } = (current && current.live && current.picture) || {};
  for (const [id, track] of [['picture-mine', mine], ['picture-theirs', theirs]]) {
    const film = $(id);
    film.hidden = !track;
    const [shown] = film.srcObject ? film.srcObject.getTracks() : [];
    if (shown !== (track || undefined)) film.srcObject = track ? new MediaStream([track]) : null;
  }
  $('call').classList.toggle('film', Boolean(theirs));
  $('pictures').hidden = !mine && !theirs;
}

/** How well it is carried; null: nothing is said. */
function quality(told) {
  const box = $('quality');
  box.hidden = !told || told.grade === 'none';
  if (box.hidden) return;
  box.dataset.grade = told.grade;
  setText($('quality-text'), t(`quality.${told.grade}`));
  const number = (value, digits) => new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);
  box.title = t('quality.title', { loss: number(100 * told.loss, 1), delay: number(1000 * told.delay, 0), jitter: number(1000 * told.jitter, 0) });
}

let spoken = 0;
export function sound(now, levels) {
  const far = share(levels.heard.db);
  const near = share(levels.sent.db);
  wave.push(now, far, near);
  wave.draw();
  $('call').style.setProperty('--loud', far.toFixed(3));
  if (now - spoken > 500) {
    spoken = now;
    $('meter-far').setAttribute('aria-valuenow', String(Math.max(-60, Math.round(levels.heard.db))));
    $('meter-near').setAttribute('aria-valuenow', String(Math.max(-60, Math.round(levels.sent.db))));
  }
}

/** What there is to speak into and to hear from; {device, speaker, ringer} are chosen. */
export function devices({ microphones, speakers }, { device, speaker, ringer }) {
  for (const [id, list, wanted] of [['microphone', microphones, device], ['speaker', speakers, speaker], ['ringer', speakers, ringer]]) {
    const items = [{ id: '', name: t('settings.browser') }, ...list];
    $(id).replaceChildren(...items.map((one) => {
      const option = element('option', '', /^\d+$/.test(one.name) ? `${t(`settings.${id}`)} ${one.name}` : one.name);
      option.value = one.id;
      option.selected = one.id === wanted;
      return option;
    }));
  }
}

/** All words are in another language now: rows are made anew. */
export function relabel() {
  for (const id of ['people-list', 'recent-list', 'waiting']) $(id).replaceChildren();
}
