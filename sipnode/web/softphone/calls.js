// The calls there are: the one that is on the screen, those that wait beside it, and what goes on between them.
import { decode } from './account.js';
import { Call } from './call.js';
import * as sound from './sound.js';
import { fault, t } from './text.js';

// One is spoken with; more than a few beside it nobody keeps apart.
const MOST = 4;
// Whoever handed us over says goodbye; if not, we do.
const GOODBYE_MS = 4000;

/**
 * Events: `change` (detail: {call, was}, of the call on the screen, which may be null), `waiting` (the calls beside it), `came` (detail: {call}),
 * `missed` (detail: {peer}: no room for it), `ended` (detail: {call, shown: whether it was on the screen}).
 */
export class Calls extends EventTarget {
  #phone;
  #adopted = new WeakSet();

  /** `phone`: {line, settings, ice, known(uri): whether that user of ours is online, or null; named(uri)}. */
  constructor(phone) {
    super();
    this.#phone = phone;
    this.shown = null;
    this.waiting = [];
  }

  get busy() { return Boolean(this.shown && this.shown.live); }
  get all() { return (this.busy ? [this.shown] : []).concat(this.waiting); }
  /** Whether another one may be dialled now; who is spoken with is put on hold then. */
  get free() { return !this.busy || (this.shown.state === 'up' && !this.shown.passing && this.all.length < MOST); }

  /** Dial; null where another call doesn't allow it. */
  dial(uri, name) {
    if (!this.free) return null;
    const mine = this.#made({ uri, name }, 'out');
    this.#aside();
    this.#show(mine);
    if (this.#phone.line.connected) mine.dial(); else mine.fail(fault('call.offline.me'));
    return mine;
  }

  /** A call comes in. */
  incoming(session) {
    if (this.#adopted.has(session)) return;
    const peer = this.#from(session);
    if (this.all.length >= MOST) {
      session.terminate({ status_code: 486 });
      this.#tell('missed', { peer });
      return;
    }
    const mine = this.#made(peer, 'in', session);
    if (this.busy) this.waiting.push(mine); else this.#show(mine);
    this.#tell('came', { call: mine });
    this.#besides();
  }

  /** What another page needs to go on with those that are up. */
  get kept() { return this.all.map((one) => ({ ...one.kept, shown: one === this.shown })).filter((one) => one.dialog); }

  /** Go on with those that this tab had before it was loaded anew. */
  resume(kept) {
    for (const one of kept) {
      const mine = this.#made(one.peer, one.dialog.direction === 'outgoing' ? 'out' : 'in');
      mine.state = 'preparing';
      if (one.shown && !this.busy) this.#show(mine); else this.waiting.push(mine);
      mine.resume(one);
    }
    this.#besides();
  }

  /** Go on with one of those that wait: the one on the screen is put on hold, or given up while it isn't up yet. */
  async turnTo(call) {
    if (!this.waiting.includes(call) || (this.busy && this.shown.passing)) return;
    const before = this.shown;
    this.waiting = this.waiting.filter((one) => one !== call);
    const held = this.#aside();
    this.#show(call);
    if (before && before.live && !this.waiting.includes(before)) before.hangup();
    await held;
    if (call.state === 'incoming') await call.answer(); else await call.hold(false);
  }

  /** Both to whom we speak are connected with each other. */
  join(other = this.waiting.find((one) => one.state === 'up')) {
    if (!this.busy || !other) return Promise.resolve(false);
    // The one that was asked goes where the one on hold is, whichever of both rang us.
    return other.pass(this.shown.peer.uri, this.shown.peer.name, this.shown);
  }

  /** What the person said to the offer of the call on the screen. */
  decide(yes) {
    const { shown } = this;
    if (!shown || !shown.offer) return;
    const { offer } = shown;
    shown.offer = null;
    if (yes) this.#follow(shown, offer); else { offer.reject(); shown.remark('', ''); }
  }

  hangUpAll() { for (const one of this.all) one.hangup(); }

  /** The one that has ended leaves the screen; whether there was one. */
  clear() {
    if (!this.shown || this.shown.live) return false;
    this.#show(null);
    return true;
  }

  #made(peer, direction, session) {
    const { line, settings, ice } = this.#phone;
    const mine = new Call({ line, peer, direction, session, device: settings.device, ice, online: direction === 'out' ? this.#phone.known(peer.uri) : null });
    mine.addEventListener('change', () => { if (mine === this.shown) this.#changed(); else this.#besides(); });
    mine.addEventListener('end', () => this.#ended(mine));
    mine.addEventListener('refer', ({ detail }) => this.#referred(mine, detail));
    mine.addEventListener('replaces', ({ detail }) => this.#replaced(mine, detail));
    return mine;
  }

  #from(session) {
    const { uri, display_name: shown } = session.remote_identity;
    const user = decode(uri.user || '');
    return { uri: `sip:${uri.user ? `${encodeURIComponent(user)}@` : ''}${uri.host}`, name: shown || user || uri.host };
  }

  /** Whom we speak with waits; resolves when they are on hold. */
  #aside() {
    const { shown } = this;
    if (!this.busy || (shown.state !== 'up' && shown.state !== 'incoming')) return Promise.resolve();
    this.waiting.push(shown);
    return shown.state === 'up' && !shown.held && !shown.waiting ? shown.hold(true) : Promise.resolve();
  }

  #show(call) {
    this.shown = call;
    this.#changed();
    this.#besides();
  }

  #changed() { this.#tell('change', { call: this.shown }); this.#sound(); }
  #besides() { this.#tell('waiting', {}); this.#sound(); }
  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  #sound() {
    const { shown } = this;
    const state = shown ? shown.state : '';
    const ring = this.#phone.settings.ring;
    const comes = this.waiting.some((one) => one.state === 'incoming');
    sound.play(state === 'incoming' && ring ? 'ring' : state === 'ringing' && !shown.early ? 'ringback' : comes && ring ? 'waiting' : null);
  }

  #ended(call) {
    const shown = call === this.shown;
    this.waiting = this.waiting.filter((one) => one !== call);
    this.#tell('ended', { call, shown });
    if (shown && this.waiting.length) {
      // Whoever waits comes back to the screen; on hold still, so that nobody is heard who doesn't expect it.
      const next = this.waiting.find((one) => one.state === 'incoming') || this.waiting[this.waiting.length - 1];
      this.waiting = this.waiting.filter((one) => one !== next);
      if (call.bad || call.passed) next.remark(call.fault.title, call.fault.text);
      this.#show(next);
    } else {
      this.#besides();
    }
  }

  /** The other side of `call` would have us speak with somebody else. */
  #referred(call, { uri, accept, reject }) {
    if (call.state !== 'up' || call.offer || call.passing || call.leaving || this.all.length >= MOST) { reject(); return; }
    const offer = { uri, name: this.#phone.named(uri), accept, reject };
    // A colleague on the list costs nothing and bears no risk; any other address is for the person to judge, and so is an interruption.
    if (call === this.shown && this.#phone.known(uri) !== null) { this.#follow(call, offer); return; }
    const where = uri.replace(/^sips?:/i, '').replace(/[;?].*$/, '');
    call.offer = { ...offer, title: t('offer.title', { who: call.peer.name }), text: t('offer.text', { where }) };
    call.remark('', '');
  }

  #follow(call, { uri, name, accept }) {
    const mine = this.#made({ uri, name }, 'out');
    call.leaving = true;
    call.remark(t('offer.done', { who: call.peer.name, name }), '');
    this.waiting = this.waiting.filter((one) => one !== call);
    if (this.shown !== call) this.#aside();
    this.waiting.push(call);
    this.#show(mine);
    const up = () => {
      if (mine.state !== 'up') return;
      mine.removeEventListener('change', up);
      setTimeout(() => call.hangup(), GOODBYE_MS);
    };
    mine.addEventListener('change', up);
    mine.addEventListener('end', () => { call.leaving = false; });
    mine.dial((adopt, options) => accept((session) => adopt(session), options));
  }

  /** Somebody else takes the place of who is at the other end: an attended transfer arrives. */
  #replaced(call, { accept }) {
    accept((session) => {
      this.#adopted.add(session);
      const mine = this.#made(this.#from(session), 'in', session);
      const shown = call === this.shown;
      if (shown) this.#show(mine); else this.waiting = this.waiting.map((one) => (one === call ? mine : one));
      mine.instead = call.peer.name;
      mine.answer();
    });
  }
}
