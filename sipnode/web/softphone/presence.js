// Presence: who is there, away or on the phone (SUBSCRIBE, RFC 3856), kept up over lost connections and restarts of the server.
import * as pidf from './pidf.js';
import { Publisher } from './publish.js';

const EXPIRES = 600;
const MOST = 100;
const AT_ONCE = 4;
const SOON_MS = 300;
const SECOND_MS = 2000;
const LATER_MS = 300000;
const SETTLED_MS = 30000;
const GOODBYE_MS = 500;

/** One subscription, and the one that takes its place when it has ended. */
class Watch {
  constructor(ua, uri) {
    Object.assign(this, { ua, uri, seen: null, seenAt: 0, live: false, since: 0, failures: 0, timer: 0, subscriber: null, gone: null });
  }

  /** `settled`: it is answered; `changed`: there is news; `ended(code, reason, seconds, lived)`: it has ended. */
  start(settled, changed, ended) {
    let waiting = true;
    const once = () => { if (waiting) { waiting = false; settled(); } };
    const mine = this.ua.subscribe(this.uri, 'presence', pidf.TYPE, { expires: EXPIRES });
    this.subscriber = mine;
    mine.on('accepted', () => {
      if (this.gone) { mine.terminate(); return; }
      Object.assign(this, { live: true, since: performance.now(), failures: 0 });
      once();
      changed();
    });
    mine.on('pending', () => { this.seen = null; changed(); });
    mine.on('notify', (_final, _request, body, type) => {
      if (new RegExp(`^${pidf.TYPE.replace('+', '\\+')}\\s*(;|$)`, 'i').test(type || '')) { this.seen = pidf.read(body); this.seenAt = performance.now(); changed(); }
    });
    mine.on('terminated', (code, reason, seconds) => {
      const lived = this.live ? performance.now() - this.since : -1;
      Object.assign(this, { live: false, seen: null, subscriber: null });
      once();
      if (this.gone) this.gone();
      else ended(mine.C, code, reason, seconds, lived);
    });
    mine.subscribe();
  }

  /** Ask for the state again; when the server doesn't know it any more it has ended. */
  refresh() { if (this.live) this.subscriber.subscribe(); }

  /** Unsubscribe; a promise that it has ended. */
  stop() {
    clearTimeout(this.timer);
    return new Promise((done) => {
      this.gone = done;
      if (this.live && this.ua.isConnected()) this.subscriber.terminate(); else done();
    });
  }
}

/**
 * Events: `change`. `works`: whether the server serves presence, null while nobody knows. What one's own state is is watched first, and
 * tells it: where that fails, nobody else is asked for.
 */
export class Presence extends EventTarget {
  #line;
  #own;
  #watches = new Map();
  #queue = [];
  #open = 0;
  #away = false;
  #stopped = false;

  constructor({ line, user, domain, source }) {
    super();
    this.#line = line;
    this.domain = domain;
    this.works = null;
    this.#own = new Watch(line.ua, this.#uri(user));
    this.publisher = new Publisher(line.ua, this.#uri(user), source);
    this.publisher.addEventListener('change', () => this.#changed());
    this.lineChanged = () => this.#lineIs(line.state);
  }

  start() {
    this.#line.addEventListener('state', this.lineChanged);
    this.#enqueue(this.#own);
    this.publisher.tell();
  }

  /** Unsubscribe from all and take back what was published; a promise that it's done, or has taken too long. */
  stop() {
    this.#stopped = true;
    this.#line.removeEventListener('state', this.lineChanged);
    this.publisher.stop();
    const all = [this.#own, ...this.#watches.values()].map((watch) => watch.stop());
    return Promise.race([Promise.all(all), new Promise((done) => { setTimeout(done, GOODBYE_MS); })]);
  }

  /** Watch these users, as many as is reasonable, and nobody else. */
  watch(users) {
    const wanted = new Set(users.slice(0, MOST));
    for (const [user, watch] of this.#watches) if (!wanted.has(user)) { this.#watches.delete(user); watch.stop(); }
    for (const user of wanted) {
      if (this.#watches.has(user)) continue;
      const watch = new Watch(this.#line.ua, this.#uri(user));
      this.#watches.set(user, watch);
      if (this.works) this.#enqueue(watch);
    }
  }

  /** {state, note} of a user, null when presence doesn't tell. */
  of(user) {
    const watch = this.#watches.get(user);
    return watch ? watch.seen : null;
  }

  /** {state, note}: what others are told of this user. It may have been said on another device; what is said here counts from when it is said. */
  get mine() {
    const { seen, seenAt } = this.#own;
    return seen && seenAt > this.publisher.toldAt ? { state: seen.said, note: seen.note } : this.publisher.mine || { state: 'online', note: '' };
  }

  #uri(user) { return `sip:${encodeURIComponent(user)}@${this.domain}`; }

  #lineIs(state) {
    if (state !== 'ready') { this.#away = true; return; }
    if (!this.#away) return;
    this.#away = false;
    this.publisher.tell();
    // The server goes on with what it knows as soon as this device is back. Whether it still knows is asked for one.
    if (this.#own.live) this.#own.refresh();
    for (const watch of [this.#own, ...(this.works ? this.#watches.values() : [])]) if (!watch.subscriber) this.#enqueue(watch);
  }

  #enqueue(watch) {
    clearTimeout(watch.timer);
    if (!this.#queue.includes(watch)) this.#queue.push(watch);
    this.#pump();
  }

  #pump() {
    while (this.#open < AT_ONCE && this.#queue.length && !this.#stopped && this.#line.connected) {
      const watch = this.#queue.shift();
      if (watch.subscriber || watch.gone) continue;
      this.#open += 1;
      watch.start(() => { this.#open -= 1; this.#pump(); }, () => this.#told(watch), (...what) => this.#ended(watch, ...what));
    }
  }

  #told(watch) {
    if (this.#stopped) return;
    if (watch === this.#own && !this.works) {
      this.works = true;
      for (const other of this.#watches.values()) if (!other.subscriber) this.#enqueue(other);
    }
    this.#changed();
  }

  #ended(watch, C, code, reason, seconds, lived) {
    if (this.#stopped) return;
    // A broken line is no answer: when it is back, so is this.
    if (code !== C.SUBSCRIBE_TRANSPORT_ERROR && this.#line.connected) {
      const forgotten = code === C.SUBSCRIBE_NON_OK_RESPONSE && lived >= 0;
      if (watch === this.#own) {
        if (forgotten) for (const other of this.#watches.values()) other.refresh();
        if (lived < 0 && (this.works === null || watch.failures)) this.works = false;
      }
      const denied = code === C.FINAL_NOTIFY_RECEIVED && ['rejected', 'noresource'].includes(reason);
      let pause = lived > SETTLED_MS || forgotten ? SOON_MS : SETTLED_MS;
      if (lived < 0) pause = Math.min(SECOND_MS * 2 ** watch.failures, LATER_MS);
      if (denied) pause = LATER_MS;
      watch.failures += 1;
      clearTimeout(watch.timer);
      watch.timer = setTimeout(() => this.#enqueue(watch), seconds ? 1000 * seconds : pause);
    }
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event('change')); }
}
