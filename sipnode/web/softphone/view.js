// What is on the screen beside the call. Only this module, callview.js and dom.js touch the document's structure; nothing here knows SIP.
import { $, element, icon, paint, rows, setText } from './dom.js';
import { language, t } from './text.js';
import { clock, presence, presenceFault } from './words.js';

export { $ };
export * from './callview.js';

const KEYS = [['1', ''], ['2', 'abc'], ['3', 'def'], ['4', 'ghi'], ['5', 'jkl'], ['6', 'mno'], ['7', 'pqrs'], ['8', 'tuv'], ['9', 'wxyz'], ['*', ''], ['0', '+'], ['#', '']];
const NAMES = { '*': 'key.star', '#': 'key.hash' };

/** For screen readers: politely, or at once. */
export function say(text, urgent = false) {
  const node = $(urgent ? 'shouted' : 'said');
  node.textContent = '';
  setTimeout(() => { node.textContent = text; }, 60);
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

// ---- settings

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
