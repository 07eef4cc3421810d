// The telephone: brings account, line, call, people and screen together.
import JsSIP from 'jssip';
import * as account from './account.js';
import { Calls } from './calls.js';
import { expose, summary } from './console.js';
import { wire } from './controls.js';
import * as past from './history.js';
import { Line } from './line.js';
import * as links from './links.js';
import { People } from './people.js';
import { Presence } from './presence.js';
import { forget } from './publish.js';
import * as again from './resume.js';
import * as sound from './sound.js';
import { fault, speak, t } from './text.js';
import { Ice } from './ice.js';
import * as view from './view.js';

const { $ } = view;
const GOODBYE_MS = 3500;
const PATIENCE_MS = 1200;
// A click that was meant for the page before this one isn't one for "Sign in".
const CARE_MS = 400;
const TITLE = document.title;
const settings = { ring: true, notify: false, device: '', speaker: '', ringer: '', volume: 1, ringVolume: 1, language: '', ...account.recall('sipnode.settings', 'localStorage') };

let config = { domain: location.hostname, version: '', directory: false, ice: false, iceServers: [] };
let me = null;
let line = null;
let people = null;
let ice = null;
let presence = null;
let last = null;
let instance = '';
let goodbye = 0;
let unwanted = false;
let counter = 0;

JsSIP.debug.disable();

// ---- signing in and out

async function signIn({ user, password, remember }) {
  const name = account.split(user, config.domain);
  if (!name.user || !password) {
    view.signInError(fault('signin.both'));
    (name.user ? $('password') : $('user')).focus();
    return;
  }
  if (line) { part(); leave(); }
  view.signInError(null);
  view.signInBusy(true);
  me = { ...name, password, remember };
  let mine;
  try {
    instance = await account.instance();
    mine = new Line({ ...name, password, instance });
  } catch {
    view.signInBusy(false);
    view.signInError(fault('signin.name'));
    return;
  }
  line = mine;
  line.addEventListener('state', () => { if (line === mine) lineChanged(); });
  line.addEventListener('incoming', ({ detail }) => { if (line === mine) calls.incoming(detail.session); });
  line.start();
}

const entered = () => document.body.dataset.screen === 'phone';

function lineChanged() {
  const { state, fault: why } = line;
  view.line(state);
  if (state === 'ready' && document.body.dataset.screen !== 'phone') enter();
  if (document.body.dataset.screen !== 'phone') {
    if (state === 'refused') {
      view.signInBusy(false);
      view.signInError(why);
      account.forget();
      showSignIn();
      $('password').select();
    } else if (state === 'waiting' && why && why.title) {
      showSignIn();
      view.signInError({ title: why.title, text: `${why.text} ${t('line.again')}` });
    }
    return;
  }
  if (state === 'refused') {
    leave();
    view.signInError({ title: t('signin.out.title'), text: why.text });
    return;
  }
  if (state === 'ready' && people) people.refresh();
  if (calls.shown) view.call(calls.shown);
  showBanner();
}

let announced = '';
function showBanner() {
  clearInterval(counter);
  if (!line) { view.banner(null); return; }
  if (line.state === 'waiting' || (line.state !== 'ready' && line.fault)) {
    const why = line.fault || fault('line.broke');
    if (announced !== why.title) view.say(`${why.title} ${why.text} ${t('line.again')}`, true);
    announced = why.title;
    const show = () => {
      const left = Math.ceil((line.until - Date.now()) / 1000);
      view.banner({
        title: why.title,
        text: calls.busy && calls.shown.state === 'up' ? `${why.text} ${t('line.goeson')}` : why.text,
        count: line.state === 'waiting' && left > 0 ? t('line.in', { left }) : t('line.trying'),
        button: [t('line.now'), () => line.hurry()],
      });
    };
    show();
    counter = setInterval(show, 500);
    return;
  }
  if (line.state === 'ready' && announced) { view.say(t('say.connected')); announced = ''; }
  if (line.state === 'ready' && settings.ring && !sound.unlocked()) {
    view.banner({ mild: true, ...fault('asleep'), button: [t('asleep.button'), wakeSound] });
    return;
  }
  if (unwanted) {
    view.banner({
      mild: true, ...fault('unwanted', { who: me.user }),
      button: [t('close'), () => { unwanted = false; showBanner(); }],
    });
    return;
  }
  view.banner(null);
}

async function wakeSound() {
  if (await sound.unlock()) {
    showBanner();
    if (calls.busy && calls.shown.state === 'incoming' && settings.ring) sound.play('ring');
    sound.wake();
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
  if (ice) ice.stop();
  ice = new Ice(config, account.authorization(me));
  if (config.directory) {
    people = new People(me);
    people.addEventListener('change', showPeople);
    people.start();
  }
  presence = new Presence({ line, ...me, source: account.source() });
  presence.addEventListener('change', showPeople);
  presence.start();
  showPeople();
  sound.audio();
  sound.unlock().then(showBanner);
  view.say(t('say.signedin', { who: me.user }));
  if (matchMedia('(hover: hover)').matches) $('address').focus({ preventScroll: true });
  if (pending) { fillIn(pending); pending = ''; }
  calls.resume(again.taken(instance).filter((one) => one.me === myself()));
}

const myself = () => `${me.user}@${me.domain}`;

/** Write down the calls that are up for the page that this tab may be next; whether it will know who it is then. */
function keepCalls() {
  // Before it is known who is here, what the page before this one has left stays.
  if (!entered()) return true;
  const lasting = Boolean(me && me.remember && account.remembered());
  again.store(instance, lasting ? calls.kept.map((one) => ({ ...one, me: myself() })) : []);
  return lasting;
}

function leave() {
  if (people) people.stop();
  if (presence) presence.stop();
  if (ice) ice.stop();
  people = presence = ice = null;
  view.banner(null);
  clearInterval(counter);
  document.title = TITLE;
  calls.hangUpAll();
  calls.clear();
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
  calls.hangUpAll();
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
    trouble: people ? people.trouble : t('people.none'),
    choose: (user) => dial(account.target(user, me.domain), user),
  });
}

// ---- calls

const calls = new Calls({
  get line() { return line; },
  get ice() { return ice ? ice.servers : config.iceServers; },
  settings,
  known,
  named: (uri) => account.decode(uri.replace(/^sips?:/i, '').replace(/[@;?].*$/, '')),
});
calls.addEventListener('change', () => { if (entered()) keepCalls(); shown(); });
calls.addEventListener('waiting', () => view.waiting(calls.waiting, calls.shown, (one) => calls.turnTo(one)));
calls.addEventListener('came', ({ detail }) => came(detail.call));
calls.addEventListener('missed', ({ detail: { peer } }) => {
  remember({ peer, direction: 'in', when: Date.now(), seconds: 0, outcome: 'missed' });
  view.say(t('say.missed', { who: peer.name }));
});
calls.addEventListener('ended', ({ detail }) => ended(detail.call, detail.shown));

function dial(uri, name) {
  if (!line || !calls.free) return null;
  sound.unlock();
  const to = address(uri);
  if (!to) { $('address').focus(); return null; }
  clearTimeout(goodbye);
  toggleSettings(false);
  const mine = calls.dial(to, name || account.decode(to.replace(/^sips?:/i, '').replace(/[@;?].*$/, '')));
  // Not on a button: whoever presses Enter or Space twice would hang up.
  if (mine) $('call').focus({ preventScroll: true });
  return mine;
}
/** What was typed, as a URI; '' for nothing. */
const address = (typed) => (/^sips?:/i.test(typed.trim()) ? typed.trim() : account.target(typed, me.domain));
/** Whether that user of ours is online, null when nobody knows. */
function known(uri) {
  const at = uri.replace(/^sips?:/i, '').replace(/[;?].*$/, '').split('@');
  const found = people && at.length === 2 && at[1] === me.domain && people.with(presence).find((p) => p.user === account.decode(at[0]));
  return found ? found.online : null;
}

/** Hand over whom we speak with: to an address, or, without one, to who is on hold. */
async function pass(typed) {
  const to = typed ? address(typed) : '';
  if (typed && !to) return false;
  view.togglePass(false);
  return to ? calls.shown.pass(to, account.decode(to.replace(/^sips?:/i, '').replace(/[@;?].*$/, ''))) : calls.join();
}

function came(call) {
  const { name } = call.peer;
  clearTimeout(goodbye);
  if (calls.shown === call) toggleSettings(false);
  view.say(t('say.incoming', { who: name }), true);
  document.title = t('title.incoming', { who: name });
  if (settings.notify && document.hidden && window.Notification && Notification.permission === 'granted') {
    const notice = new Notification(t('notice.incoming', { who: name }), { body: `${me.user}@${me.domain}`, icon: 'icon.svg', tag: 'sipnode-call', requireInteraction: true });
    notice.onclick = () => { window.focus(); notice.close(); };
    const settled = () => { if (call.state !== 'incoming') notice.close(); };
    for (const event of ['change', 'end']) call.addEventListener(event, settled);
  }
  // Who is typing just now would answer with the next space; and beside a call nothing moves the focus.
  setTimeout(() => { if (calls.shown === call && call.state === 'incoming') $('answer').focus(); }, performance.now() - phone.typedAt < PATIENCE_MS ? PATIENCE_MS : 0);
}

let was = '';
/** The call on the screen is another one, or in another state. */
function shown() {
  const call = calls.shown;
  view.call(call);
  if (!call) { was = ''; return; }
  const { state, peer } = call;
  const now = `${peer.uri} ${call.when} ${state}`;
  if (now !== was) {
    was = now;
    if (state === 'ringing') view.say(t('say.ringing', { who: peer.name }));
    if (state === 'up') view.say(call.instead ? t('say.instead', { who: peer.name, before: call.instead }) : t('say.up', { who: peer.name }));
    if (!calls.all.some((one) => one.state === 'incoming')) document.title = `${me ? `${me.user} · ` : ''}${TITLE}`;
    // The button that had the focus may be gone.
    if (state === 'up' && focusLost()) $('call').focus({ preventScroll: true });
  }
  if (call.live) animate();
}
const focusLost = () => !document.activeElement || document.activeElement === document.body || document.activeElement.closest('[hidden]') || document.activeElement.hidden;

function ended(call, onScreen) {
  remember({ peer: call.peer, direction: call.direction, when: call.when, seconds: call.seconds, outcome: call.since ? 'answered' : call.direction === 'in' ? 'missed' : 'failed' });
  last = summary(call);
  if (!calls.all.some((one) => one.state === 'incoming')) document.title = `${me ? `${me.user} · ` : ''}${TITLE}`;
  if (!onScreen) return;
  view.say(`${call.fault.title} ${call.fault.text}`, call.bad);
  if (call.since || call.bad) sound.farewell(call.bad);
  if (people) people.refresh();
  if (calls.waiting.length) return;
  if (call.bad || call.missed) $('close').focus({ preventScroll: true });
  else goodbye = setTimeout(() => clearCall(call), GOODBYE_MS);
}

function clearCall(mine = calls.shown) {
  const inside = $('call').contains(document.activeElement);
  if (calls.shown !== mine || !calls.clear()) return;
  clearTimeout(goodbye);
  if (inside || focusLost()) (matchMedia('(hover: hover)').matches ? $('address') : $('dial')).focus({ preventScroll: true });
}

function remember(one) {
  if (!me) return;
  past.add(me, one);
  showRecent();
}
const showRecent = () => view.recent(past.recall(me), (r) => dial(r.uri, r.name));
function forgetRecent() {
  past.forget(me);
  showRecent();
}
past.follow(() => me, showRecent);

let animating = false;
let ticked = 0;
function animate() {
  if (animating) return;
  animating = true;
  const frame = (now) => {
    if (!calls.busy) { animating = false; return; }
    const { shown: call } = calls;
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
  if (!calls.busy || !/^[0-9*#]$/.test(key)) return;
  calls.shown.tone(key);
  view.toggleTones(true);
  view.flash($('tone-pad'), key);
}
function toggleSettings(open) {
  $('settings').hidden = !open;
  $('settings-button').setAttribute('aria-expanded', String(open));
  if (open) sound.devices().then((found) => view.devices(found, settings));
}
/** Something in the settings is another one now: keep it and do it. */
function tuned() {
  account.keep('sipnode.settings', settings, 'localStorage');
  sound.tune(settings);
  if (line) showBanner();
}
function translate() {
  speak(settings.language);
  view.relabel();
  if (line) view.line(line.state);
  if (!me) return;
  showPeople();
  showRecent();
  if (calls.shown) view.call(calls.shown);
  view.waiting(calls.waiting, calls.shown, (one) => calls.turnTo(one));
}

/** What the buttons and keys may do. */
const phone = {
  setMine: (state, note) => presence && presence.publisher.set({ state, note }),
  keepCalls, forgetRecent, settings, typedAt: -Infinity, signIn, signOut, dial, pass, clearCall, showPeople, wakeSound, pressDial, pressTone, toggleSettings, tuned, translate, calls,
  get call() { return calls.shown; },
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
function linked({ user, password, remember, call }) {
  if (call) { dialLinked(links.number(call)); return; }
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

let pending = '';
/** A number of a tel: link waits in the field for "Call"; in a tab where nobody is signed in, another tab may have it. */
async function dialLinked(number) {
  if (!number || number.length > 100) return;
  if (fillIn(number)) return;
  pending = number;
  if (!account.remembered() && await links.give(number)) {
    pending = '';
    view.signInError(fault('tel.elsewhere', { number }));
  }
}
function fillIn(number) {
  if (document.body.dataset.screen !== 'phone') return false;
  $('address').value = number;
  if (matchMedia('(max-width: 59.99rem)').matches) view.tab('keypad');
  showPeople();
  $('address').focus();
  view.say(t('tel.here', { number }), true);
  return true;
}

async function begin() {
  const given = account.fromFragment();
  translate();
  sound.tune(settings);
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
  links.listen(fillIn);
  const kept = account.remembered();
  if (given) linked(given);
  if (kept) {
    $('user').value = kept.user;
    $('remember').checked = true;
    await signIn(kept);
  } else {
    view.screen('signin');
    if (!given) $('user').focus();
    else if (given.user && !$('password').value) $('password').focus();
  }
  // Signing in by itself shows nothing until it is known how it went; a slow server must not look like an empty page.
  setTimeout(() => { if (document.body.dataset.screen === 'start') showSignIn(); }, 700);
}
begin();
