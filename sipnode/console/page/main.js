// The console: who is signed in, which view is shown, what the keys do.
import { decode, encode, get, keepProof, post, Refused } from './api.js';
import { CallView } from './call.js';
import { $, h, replace, say } from './dom.js';
import { Feed } from './feed.js';
import { focusSearch, List } from './list.js';
import { View } from './views.js';

const TITLES = { calls: 'Calls', registrations: 'Registrations', flows: 'Connections', nodes: 'Media', certificates: 'Certificates', bans: 'Bans', settings: 'Settings', history: 'History' };

let me = null;
let shown = null;
let route = { name: '', id: '', n: -1, search: '' };
const list = new List((search) => go(`#/calls${search ? `?${encode(search)}` : ''}`, true));
const feed = new Feed({
  lines: (lines) => list.take(lines),
  call: (view) => { if (shown instanceof CallView && shown.id === view.id) shown.take(view); },
  state: (state) => drawState(state),
  many: () => soon(),
  behind: () => { loadList(); if (shown instanceof CallView) shown.load().catch(failed); },
  live: (on) => live(on),
  closed: (call) => get('session').then(() => feed.watch(call || ''), failed),
});

// -- signing in and out

async function start() {
  try { enter(await get('session')); } catch (fault) { failed(fault); }
}

function enter(told) {
  me = keepProof(told);
  document.body.dataset.screen = 'app';
  $('signin').hidden = true;
  $('app').hidden = false;
  $('who').textContent = me.user;
  $('signout').title = `Signed in as ${me.user}, ${me.role}. Sign out.`;
  const views = ['calls', ...Object.keys(TITLES).filter((name) => me.views.includes(name))];
  replace($('nav'), views.map((name, place) => h('a', { href: `#/${name}`, 'data-view': name, title: `${TITLES[name]} (${place + 1})` }, TITLES[name])));
  drawState(me.state);
  loadList();
  feed.watch('');
  follow();
}

function leave(text = '') {
  me = null;
  feed.stop();
  if (shown && shown.close) shown.close();
  shown = null;
  route = { name: '', id: '', n: -1, search: '' };
  list.calls.clear();
  list.loaded = false;
  replace($('main'));
  document.body.dataset.screen = 'signin';
  $('app').hidden = true;
  $('signin').hidden = false;
  fault(text);
  $('password').value = '';
  ($('user').value ? $('password') : $('user')).focus();
}

function fault(text) { $('signin-fault').hidden = !text; $('signin-fault').textContent = text; }

function failed(error) {
  if (error instanceof Refused && error.status === 401) leave(me ? 'Your session is over. Sign in again.' : '');
  else if (!me) { leave(error instanceof Refused ? error.message : 'The server can’t be reached.'); } else say(error.message);
}

$('signin-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  $('signin-button').disabled = true;
  fault('');
  try { enter(await post('signin', { user: $('user').value.trim(), password: $('password').value })); } catch (error) {
    fault(error instanceof Refused ? error.message : 'The server can’t be reached.');
    $('password').select();
  }
  $('password').value = '';
  $('signin-button').disabled = false;
});
$('signout').addEventListener('click', async () => { try { await post('signout'); } catch { /* it is over anyway */ } leave(); });

// -- what is told at the head

function drawState(state) {
  const { recorder } = state;
  me.state = state;
  document.title = `${state.calls} call${state.calls === 1 ? '' : 's'} · sipnode`;
  const full = recorder.on ? `${recorder.records} recorded, ${Math.round((100 * recorder.octets) / recorder.most_octets)} % of the memory for it` : 'nothing is recorded';
  $('live').title = full;
  $('live-text').dataset.text = `${state.calls} call${state.calls === 1 ? '' : 's'}`;
  live($('live').dataset.live === 'yes');
}

function live(on) {
  $('live').dataset.live = on ? 'yes' : 'no';
  $('live-text').textContent = on ? $('live-text').dataset.text || 'live' : 'not live';
}

let waiting = 0;
/** Much has happened at once: look at all of it, but not more often than every two to three seconds, nor all pages at once. */
function soon() { waiting = waiting || setTimeout(() => { waiting = 0; loadList(); }, 2000 + 1000 * Math.random()); }
function loadList() { if (me) list.load().catch(failed); }

// -- where we are

function parse() {
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, id = '', n = ''] = path.split('/');
  return { name: name || 'calls', id: decode(id), n: /^\d+$/.test(n) ? Number(n) : -1, search: decode(search) };
}

function go(hash, quietly = false) {
  if (!quietly) { location.hash = hash; return; }
  history.replaceState(null, '', hash);
  route = parse();
}

function follow() {
  if (!me) return;
  const next = parse();
  const same = next.name === route.name && next.id === route.id && shown;
  route = next;
  for (const link of $('nav').children) {
    const on = link.dataset.view === (next.name === 'call' ? 'calls' : next.name);
    if (on) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  if (same && shown instanceof CallView) { shown.open(next.n).catch(failed); return; }
  if (same) { if (shown.look) shown.look(next.search, true); return; }
  if (shown && shown.close) shown.close();
  const admin = me.role === 'admin';
  if (next.name === 'call' && next.id) {
    const where = (n) => go(`#/call/${encode(next.id)}${n >= 0 ? `/${n}` : ''}`);
    const view = shown = new CallView($('main'), next.id, admin, where);
    feed.watch(next.id);
    view.load().then(() => view.open(next.n)).catch(failed);
  } else if (TITLES[next.name] && next.name !== 'calls' && me.views.includes(next.name)) {
    feed.watch('');
    shown = new View($('main'), next.name, admin, next.search, (search) => go(`#/${next.name}${search ? `?${encode(search)}` : ''}`, true));
    shown.load().catch(failed);
  } else {
    feed.watch('');
    shown = list;
    list.open($('main'), next.name === 'calls' ? next.search : '');
  }
}
addEventListener('hashchange', follow);

// -- keys

addEventListener('keydown', (event) => {
  if (!me || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (typing) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  let done = true;
  if (event.key === '/') done = focusSearch();
  else if (event.key === '?') $('help').showModal();
  else if (/^[1-9]$/.test(event.key)) { const link = $('nav').children[Number(event.key) - 1]; if (link) link.click(); }
  else done = Boolean(shown && shown.key && shown.key(event));
  if (done) event.preventDefault();
});
$('help-button').addEventListener('click', () => $('help').showModal());

start();
