// The telephone: brings account, line, call, people and screen together.
import JsSIP from 'jssip';
import * as account from './account.js';
import { Call } from './call.js';
import { expose, summary } from './console.js';
import { wire } from './controls.js';
import { Line } from './line.js';
import { People } from './people.js';
import { Presence } from './presence.js';
import { forget } from './publish.js';
import * as sound from './sound.js';
import * as view from './view.js';

const { $ } = view;
const GOODBYE_MS = 3500;
const PATIENCE_MS = 1200;
// A click that was meant for the page before this one isn't one for "Sign in".
const CARE_MS = 400;
const RECENT = 100;
const TITLE = document.title;
const settings = { ring: true, notify: false, device: '', ...account.recall('sipnode.settings') };

let config = { domain: location.hostname, version: '', directory: false, iceServers: [] };
let me = null;
let line = null;
let people = null;
let presence = null;
let call = null;
let last = null;
let history = [];
let notice = null;
let goodbye = 0;
let unwanted = false;
let counter = 0;

JsSIP.debug.disable();

// ---- signing in and out

async function signIn({ user, password, remember }) {
  const name = account.split(user, config.domain);
  if (!name.user || !password) {
    view.signInError({ title: 'Both are needed.', text: 'Type your user name and your password.' });
    (name.user ? $('password') : $('user')).focus();
    return;
  }
  if (line) { part(); leave(); }
  view.signInError(null);
  view.signInBusy(true);
  me = { ...name, password, remember };
  let mine;
  try {
    mine = new Line({ ...name, password, instance: await account.instance() });
  } catch {
    view.signInBusy(false);
    view.signInError({ title: 'That isn\'t a user name.', text: 'It has letters or signs that an address can\'t have.' });
    return;
  }
  line = mine;
  line.addEventListener('state', () => { if (line === mine) lineChanged(); });
  line.addEventListener('incoming', ({ detail }) => { if (line === mine) incoming(detail); });
  line.start();
}

function lineChanged() {
  const { state, fault } = line;
  view.line(state);
  if (state === 'ready' && document.body.dataset.screen !== 'phone') enter();
  if (document.body.dataset.screen !== 'phone') {
    if (state === 'refused') {
      view.signInBusy(false);
      view.signInError(fault);
      account.forget();
      showSignIn();
      $('password').select();
    } else if (state === 'waiting' && fault && fault.title) {
      showSignIn();
      view.signInError({ title: fault.title, text: `${fault.text} Trying again by itself.` });
    }
    return;
  }
  if (state === 'refused') {
    leave();
    view.signInError({ title: 'You were signed out.', text: fault.text });
    return;
  }
  if (state === 'ready' && people) people.refresh();
  if (call) view.call(call);
  showBanner();
}

let announced = '';
function showBanner() {
  clearInterval(counter);
  if (!line) { view.banner(null); return; }
  if (line.state === 'waiting' || (line.state !== 'ready' && line.fault)) {
    const fault = line.fault || { title: 'The connection broke.', text: '' };
    if (announced !== fault.title) view.say(`${fault.title} ${fault.text} Trying again by itself.`, true);
    announced = fault.title;
    const show = () => {
      const left = Math.ceil((line.until - Date.now()) / 1000);
      view.banner({
        title: fault.title,
        text: call && call.state === 'up' ? `${fault.text} Your call goes on meanwhile.` : fault.text,
        count: line.state === 'waiting' && left > 0 ? `Trying again in ${left} s` : 'Trying again…',
        button: ['Try now', () => line.hurry()],
      });
    };
    show();
    counter = setInterval(show, 500);
    return;
  }
  if (line.state === 'ready' && announced) { view.say('Connected again.'); announced = ''; }
  if (line.state === 'ready' && settings.ring && !sound.unlocked()) {
    view.banner({ mild: true, title: 'Sound is asleep.', text: 'Browsers keep a page silent until it is touched. Click once, so that calls can ring.', button: ['Wake it', wakeSound] });
    return;
  }
  if (unwanted) {
    view.banner({
      mild: true, title: 'A link wanted to sign somebody else in.', text: `You are still ${me.user}. To use that link, sign out and open it again.`,
      button: ['Close', () => { unwanted = false; showBanner(); }],
    });
    return;
  }
  view.banner(null);
}

async function wakeSound() {
  if (await sound.unlock()) {
    showBanner();
    if (call && call.state === 'incoming' && settings.ring) sound.play('ring');
    const far = $('far');
    if (far.srcObject && far.paused) far.play().catch(() => {});
  }
}

function enter() {
  view.signInBusy(false);
  if (me.remember) account.remember({ user: shortName(), password: me.password }); else account.forget();
  $('password').value = '';
  view.screen('phone');
  view.tab(matchMedia('(min-width: 60rem)').matches ? 'people' : config.directory ? 'people' : 'keypad');
  $('me-address').textContent = `${me.user}@${me.domain}`;
  document.title = `${me.user} · ${TITLE}`;
  showRecent();
  if (config.directory) {
    people = new People(me);
    people.addEventListener('change', showPeople);
    people.start();
  }
  presence = new Presence({ line, ...me });
  presence.addEventListener('change', showPeople);
  presence.start();
  showPeople();
  sound.audio();
  sound.unlock().then(showBanner);
  view.say(`Signed in as ${me.user}. Ready for calls.`);
  if (matchMedia('(hover: hover)').matches) $('address').focus({ preventScroll: true });
}

function leave() {
  if (people) people.stop();
  if (presence) presence.stop();
  people = presence = null;
  view.banner(null);
  clearInterval(counter);
  document.title = TITLE;
  view.call(null);
  showSignIn();
}

function showSignIn() {
  if (document.body.dataset.screen !== 'signin') {
    view.screen('signin');
    $('user').value = me ? shortName() : $('user').value;
    ($('user').value ? $('password') : $('user')).focus();
  }
}

/** As it is typed into the form. */
const shortName = () => (me.domain === config.domain ? me.user : `${me.user}@${me.domain}`);

/** Let go of the line; who says goodbye needs it for that. */
function part() {
  const old = line;
  const goodbye = presence ? presence.stop() : Promise.resolve();
  line = presence = null;
  if (old) goodbye.then(() => old.stop());
}

function signOut() {
  if (call && call.live) call.hangup();
  account.forget();
  forget();
  part();
  me = null;
  unwanted = false;
  $('user').value = '';
  $('password').value = '';
  toggleSettings(false);
  view.signInError(null);
  leave();
}

function showPeople() {
  const works = Boolean(presence && presence.works);
  if (people && presence) {
    presence.watch((people.people || []).map((p) => p.user));
    people.told(works);
  }
  view.mine(works ? presence.mine : null, works ? presence.publisher.refused : 0);
  view.people(people ? people.people && people.with(presence) : [], {
    filter: $('address').value.trim(),
    trouble: people ? people.trouble : 'This server keeps no list of people. Dial a name or an address.',
    choose: (user) => dial(account.target(user, me.domain), user),
  });
}

// ---- calls

const busy = () => Boolean(call && call.live);

function dial(uri, name) {
  if (busy() || !line) return null;
  sound.unlock();
  const to = /^sips?:/i.test(uri) ? uri : account.target(uri, me.domain);
  if (!to) { $('address').focus(); return null; }
  const label = name || decode(to.replace(/^sips?:/i, '').replace(/[@;?].*$/, ''));
  const mine = new Call({ line, peer: { uri: to, name: label }, direction: 'out', device: settings.device, ice: config.iceServers, online: known(to) });
  take(mine);
  if (!line.connected) {
    mine.fail({ title: 'Not connected.', text: 'The server can\'t be reached right now; the page keeps trying.' });
    return mine;
  }
  mine.dial();
  return mine;
}
/** Whether that user of ours is online, null when nobody knows. */
function known(uri) {
  const at = uri.replace(/^sips?:/i, '').split('@');
  const found = people && at.length === 2 && at[1] === me.domain && people.with(presence).find((p) => p.user === decode(at[0]));
  return found ? found.online : null;
}
function decode(text) { try { return decodeURIComponent(text); } catch { return text; } }

function incoming({ session }) {
  const { uri, display_name: shown } = session.remote_identity;
  const peer = { uri: `sip:${uri.user ? `${encodeURIComponent(decode(uri.user))}@` : ''}${uri.host}`, name: shown || decode(uri.user || uri.host) };
  if (busy()) {
    remember({ peer, direction: 'in', when: Date.now(), seconds: 0, outcome: 'missed' });
    view.say(`${peer.name} called while you were in a call.`);
    session.terminate({ status_code: 486 });
    return;
  }
  const mine = new Call({ line, peer, direction: 'in', session, device: settings.device, ice: config.iceServers });
  take(mine);
  view.say(`Incoming call from ${peer.name}.`, true);
  document.title = `☎ ${peer.name} is calling`;
  if (settings.ring) sound.play('ring');
  if (settings.notify && document.hidden && window.Notification && Notification.permission === 'granted') {
    notice = new Notification(`${peer.name} is calling`, { body: `${me.user}@${me.domain}`, icon: 'icon.svg', tag: 'sipnode-call', requireInteraction: true });
    notice.onclick = () => { window.focus(); notice.close(); };
  }
  // Who is typing just now would answer with the next space.
  setTimeout(() => { if (call === mine && mine.state === 'incoming') $('answer').focus(); }, performance.now() - phone.typedAt < PATIENCE_MS ? PATIENCE_MS : 0);
}

/** This is the call on the screen now. */
function take(mine) {
  clearTimeout(goodbye);
  call = mine;
  toggleSettings(false);
  let state = '';
  const changed = () => {
    if (call !== mine) return;
    view.call(mine);
    sound.play(mine.state === 'ringing' && !mine.early ? 'ringback' : mine.state === 'incoming' && sound.playingNow() === 'ring' ? 'ring' : null);
    if (mine.state !== state) {
      if (mine.state === 'ringing') view.say(`Ringing at ${mine.peer.name}.`);
      if (mine.state === 'up') view.say(`In call with ${mine.peer.name}.`);
      if (mine.state !== 'incoming') { document.title = `${me ? `${me.user} · ` : ''}${TITLE}`; if (notice) notice.close(); }
      // The button that had the focus may be gone.
      if (mine.state === 'up' && focusLost()) $('call').focus({ preventScroll: true });
      state = mine.state;
    }
  };
  mine.addEventListener('change', changed);
  mine.addEventListener('end', () => ended(mine));
  changed();
  // Not on a button: whoever presses Enter or Space twice would hang up.
  if (mine.direction === 'out') $('call').focus({ preventScroll: true });
  animate();
}
const focusLost = () => !document.activeElement || document.activeElement === document.body || document.activeElement.closest('[hidden]') || document.activeElement.hidden;

function ended(mine) {
  const outcome = mine.since ? 'answered' : mine.direction === 'in' ? 'missed' : 'failed';
  remember({ peer: mine.peer, direction: mine.direction, when: mine.when, seconds: mine.seconds, outcome });
  last = summary(mine);
  if (call !== mine) return;
  view.say(`${mine.fault.title} ${mine.fault.text}`, mine.bad);
  if (mine.since || mine.bad) sound.farewell(mine.bad);
  if (people) people.refresh();
  if (mine.bad || mine.missed) $('close').focus({ preventScroll: true });
  else goodbye = setTimeout(() => clearCall(mine), GOODBYE_MS);
}

function clearCall(mine = call) {
  if (!call || call !== mine || call.live) return;
  clearTimeout(goodbye);
  call = null;
  const inside = $('call').contains(document.activeElement);
  view.call(null);
  if (inside || focusLost()) (matchMedia('(hover: hover)').matches ? $('address') : $('dial')).focus({ preventScroll: true });
}

/** What is kept beyond the tab is of one user. */
const recentKey = () => `sipnode.recent.${me.user}@${me.domain}`;
function remember({ peer, direction, when, seconds, outcome }) {
  if (!me) return;
  // Another tab of the same user may have had calls meanwhile.
  const kept = account.recall(recentKey(), 'localStorage') || [];
  account.keep(recentKey(), [{ uri: peer.uri, name: peer.name, direction, when, seconds, outcome }, ...kept].slice(0, RECENT), 'localStorage');
  showRecent();
}
function showRecent() {
  history = (me && account.recall(recentKey(), 'localStorage')) || [];
  view.recent(history, (r) => dial(r.uri, r.name));
}
function forgetRecent() {
  account.keep(recentKey(), null, 'localStorage');
  showRecent();
}
window.addEventListener('storage', (event) => { if (me && event.key === recentKey()) showRecent(); });

let animating = false;
let ticked = 0;
function animate() {
  if (animating) return;
  animating = true;
  const frame = (now) => {
    if (!busy()) { animating = false; return; }
    if (call.state === 'up' || call.early) view.sound(now, call.levels());
    if (now - ticked > 250) { ticked = now; view.tick(call); }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

// ---- keys and buttons

function pressDial(key) {
  const field = $('address');
  field.value += key;
  sound.keyTone(key);
  view.flash($('pad'), key);
  showPeople();
}
function pressTone(key) {
  if (!call || !/^[0-9*#]$/.test(key)) return;
  call.tone(key);
  view.toggleTones(true);
  view.flash($('tone-pad'), key);
}
function toggleSettings(open) {
  $('settings').hidden = !open;
  $('settings-button').setAttribute('aria-expanded', String(open));
  if (open) sound.microphones().then((list) => view.microphones(list, settings.device));
}

/** What the buttons and keys may do. */
const phone = {
  setMine: (state, note) => presence && presence.publisher.set({ state, note }),
  forgetRecent, settings, typedAt: -Infinity, signIn, signOut, dial, clearCall, busy, showPeople, showBanner, wakeSound, pressDial, pressTone, toggleSettings,
  get call() { return call; },
  get last() { return last; },
  get line() { return line; },
  get me() { return me; },
  get people() { return people ? people.with(presence) : []; },
  get presence() { return presence; },
};

expose(phone);

/**
 * What a link says fills in the form, and a person signs in with it. Anybody can make a link, also one with their own account in it: one that
 * signed in by itself would have its victim call, and be called, under their name. Where somebody is signed in it changes nothing at all.
 */
function linked({ user, password, remember }) {
  const kept = account.remembered();
  if ((line && line.state !== 'refused') || kept) {
    const mine = me || account.split(kept.user, config.domain);
    const other = account.split(user, config.domain);
    unwanted = other.user !== mine.user || other.domain !== mine.domain;
    if (me) showBanner();
    return;
  }
  $('user').value = user;
  $('password').value = password;
  $('remember').checked = remember;
  view.signInError(null);
  view.linked(CARE_MS);
}

async function begin() {
  const given = account.fromFragment();
  wire(phone);
  view.tab('people');
  try {
    const answer = await fetch('config.json', { cache: 'no-store' });
    if (answer.ok) config = { ...config, ...await answer.json() };
  } catch { /* the page works with what it guesses */ }
  if (!config.domain) config.domain = location.hostname;
  $('user-domain').textContent = `@${config.domain}`;
  $('version').textContent = config.version ? `sipnode ${config.version}` : '';
  if (!window.isSecureContext) {
    $('insecure').hidden = false;
    $('secure-link').href = `https://${location.host}/`;
  }
  window.addEventListener('hashchange', () => { const again = account.fromFragment(); if (again) linked(again); });
  const kept = account.remembered();
  if (given) linked(given);
  if (kept) {
    $('user').value = kept.user;
    $('remember').checked = true;
    await signIn(kept);
  } else {
    view.screen('signin');
    if (!given) $('user').focus();
    else if (!$('password').value) $('password').focus();
  }
  // Signing in by itself shows nothing until it is known how it went; a slow server must not look like an empty page.
  setTimeout(() => { if (document.body.dataset.screen === 'start') showSignIn(); }, 700);
}
begin();
