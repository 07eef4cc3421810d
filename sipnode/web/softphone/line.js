// The line to the server: one JsSIP user agent, its connection and its registration, and the way back when either is lost.
import JsSIP from 'jssip';
import * as words from './words.js';

// Seconds between attempts. A server keeps the calls of a lost connection only for some seconds, so the first ones are quick.
const RETRY = [0.3, 0.5, 0.8, 1.2, 2, 4, 7, 10];
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const SLOW = 3600;

/**
 * Events: `state` (see `state`), `incoming` (detail: {session}). States: idle, connecting, signing-in, ready, waiting (fault, until), refused (fault).
 */
export class Line extends EventTarget {
  constructor({ user, domain, password, instance }) {
    super();
    Object.assign(this, { user, domain, password });
    this.state = 'idle';
    this.fault = null;
    this.until = 0;
    this.attempts = 0;
    this.everReady = false;
    const secure = location.protocol === 'https:';
    const socket = new JsSIP.WebSocketInterface(`${secure ? 'wss' : 'ws'}://${location.host}`);
    this.ua = new JsSIP.UA({
      sockets: [socket],
      uri: `sip:${encodeURIComponent(user)}@${domain}`,
      authorization_user: user,
      password,
      instance_id: instance,
      register: true,
      register_expires: 600,
      session_timers: true,
      use_preloaded_route: false,
      user_agent: 'sipnode softphone',
      // Its own recovery counts from seconds on and can't be hurried; ours is in retry().
      connection_recovery_min_interval: SLOW,
      connection_recovery_max_interval: SLOW,
    });
    this.ua.on('connected', () => { this.#set('signing-in'); });
    this.ua.on('disconnected', (event) => this.#lost(event));
    this.ua.on('registered', () => { this.attempts = 0; this.everReady = true; this.#set('ready'); });
    this.ua.on('unregistered', () => { if (this.ua.isConnected() && this.state === 'ready') this.#set('signing-in'); });
    this.ua.on('registrationFailed', (event) => this.#refused(event));
    this.ua.on('newRTCSession', ({ originator, session }) => {
      if (originator === 'remote') this.dispatchEvent(new CustomEvent('incoming', { detail: { session } }));
    });
    this.wake = () => { if (this.state === 'waiting') this.hurry(); };
    this.wakeVisible = () => { if (!document.hidden) this.wake(); };
    window.addEventListener('online', this.wake);
    document.addEventListener('visibilitychange', this.wakeVisible);
  }

  get connected() { return this.ua.isConnected(); }

  /** Do it now if requests can be sent, else when they can again; `true` when it was done now. */
  whenReady(deed) {
    if (this.connected && this.state === 'ready') { deed(); return true; }
    const once = () => {
      if (this.state !== 'ready' && !this.stopped) return;
      this.removeEventListener('state', once);
      if (!this.stopped) deed();
    };
    this.addEventListener('state', once);
    return false;
  }

  start() {
    this.#set('connecting');
    this.ua.start();
  }

  /** Try now. */
  hurry() {
    clearTimeout(this.timer);
    if (this.stopped || this.state === 'refused') return;
    if (this.ua.isConnected()) {
      this.#set('signing-in');
      this.ua.register();
    } else {
      this.#set('connecting');
      this.ua.transport.connect();
    }
  }

  /** The socket says that it is there, and brings nothing: have another one. */
  renew() { if (this.ua.isConnected()) this.ua.transport.disconnect(); }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    window.removeEventListener('online', this.wake);
    document.removeEventListener('visibilitychange', this.wakeVisible);
    this.ua.stop();
    this.#set('idle');
  }

  async #lost({ error, code }) {
    if (this.stopped || this.state === 'refused') return;
    const was = this.state;
    this.#wait({ title: '', text: '' });
    const fault = words.lineFault({
      reach: was === 'connecting' ? await reach() : 'unknown',
      secure: location.protocol === 'https:',
      // The machine itself is always there, network or not.
      device: navigator.onLine || LOOPBACK.test(location.hostname) ? '' : 'offline',
      clean: !error && code === 1000,
    });
    // By now the next attempt may be under way; its outcome is the better news.
    if (this.state === 'waiting' || this.state === 'connecting') {
      this.fault = fault;
      this.dispatchEvent(new Event('state'));
    }
  }

  #refused({ response, cause }) {
    if (this.stopped || !this.ua.isConnected()) return;
    const fault = words.signInFault(response ? response.status_code : 0, this.user, this.domain);
    fault.status = response ? response.status_code : 0;
    fault.cause = cause;
    if (fault.final) {
      this.stop();
      this.fault = fault;
      this.#set('refused', fault);
    } else {
      this.#wait(fault);
    }
  }

  #wait(fault) {
    const pause = RETRY[Math.min(this.attempts, RETRY.length - 1)] * (0.85 + 0.3 * Math.random());
    this.attempts += 1;
    this.until = Date.now() + pause * 1000;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hurry(), pause * 1000);
    this.#set('waiting', fault.title ? fault : this.fault);
  }

  #set(state, fault) {
    this.state = state;
    if (fault) this.fault = fault;
    if (state === 'ready' || state === 'idle') this.fault = null;
    this.dispatchEvent(new Event('state'));
  }
}

/** Does the server still give pages? A refused WebSocket tells a page nothing about why. */
async function reach() {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 3000);
  try {
    const answer = await fetch('config.json', { cache: 'no-store', signal: stop.signal });
    return answer.status < 500 ? 'page' : 'none';
  } catch {
    return 'none';
  } finally {
    clearTimeout(timer);
  }
}
