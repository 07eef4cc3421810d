// One's own state, told to the server (PUBLISH, RFC 3903): refreshed while it lasts, taken back when it ends, told anew when the server forgot it.
import RequestSender from 'jssip/lib/RequestSender.js';
import { OutgoingRequest } from 'jssip/lib/SIPMessage.js';
import * as account from './account.js';
import * as pidf from './pidf.js';

const KEPT = 'sipnode.presence';
const EXPIRES = 300;
const AGAIN_MS = 10000;

/**
 * Events: `change`. `mine`: {state: 'online' | 'away' | 'busy', note} as it was last said on this page, null before; `toldAt`: when the server
 * had it (performance.now()), Infinity until it has; `refused`: the status with which it won't have it, or 0. `source`: a name with a UUID in
 * it, of this tab alone: a page that was loaded again while an answer was under way doesn't know the entity-tag in it, and by that name the
 * server takes what it says anew for the same publication.
 */
export class Publisher extends EventTarget {
  #ua;
  #uri;
  #source;
  #etag = '';
  #told = null;
  #busy = false;
  #timer = 0;
  #stopped = false;

  constructor(ua, uri, source) {
    super();
    this.#ua = ua;
    this.#uri = uri;
    this.#source = source;
    this.mine = null;
    this.toldAt = 0;
    this.refused = 0;
    const kept = account.recall(KEPT);
    if (kept && kept.uri === uri) {
      this.mine = { state: kept.state, note: kept.note };
      this.#etag = kept.etag;
      // What was said on another device meanwhile counts more: this is only refreshed.
      if (kept.told) this.#told = this.mine; else this.toldAt = Infinity;
    }
  }

  /** Say something else about oneself from now on. */
  set({ state, note }) {
    this.mine = { state: ['away', 'busy'].includes(state) ? state : 'online', note: pidf.clean(note || '') };
    this.toldAt = Infinity;
    this.refused = 0;
    this.#keep();
    this.dispatchEvent(new Event('change'));
    this.tell();
  }

  /** The line is there: tell what isn't told yet, and refresh what is. */
  tell() {
    const { mine } = this;
    if (!mine || this.#busy || this.#stopped || this.refused || !this.#ua.isConnected()) return;
    clearTimeout(this.#timer);
    this.#send(EXPIRES, mine === this.#told && this.#etag ? null : pidf.write(this.#uri, mine, this.#source), (response) => this.#answered(response, mine));
  }

  /** Take it back, whatever comes of it. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#etag && this.#ua.isConnected()) this.#send(0, null, () => {});
  }

  #send(expires, body, answered) {
    this.#busy = true;
    const headers = ['Event: presence', `Expires: ${expires}`];
    if (this.#etag) headers.push(`SIP-If-Match: ${this.#etag}`);
    if (body) headers.push(`Content-Type: ${pidf.TYPE}`);
    const request = new OutgoingRequest('PUBLISH', this.#ua.normalizeTarget(this.#uri), this.#ua, null, headers, body);
    new RequestSender(this.#ua, request, {
      onRequestTimeout: () => answered(null),
      onTransportError: () => answered(null),
      onReceiveResponse: (response) => { if (response.status_code >= 200) answered(response); },
    }).send();
  }

  #answered(response, mine) {
    this.#busy = false;
    if (this.#stopped) return;
    const status = response ? response.status_code : 0;
    if (status >= 200 && status < 300) {
      if (mine !== this.#told) this.toldAt = mine === this.mine ? performance.now() : Infinity;
      this.#told = mine;
      this.#etag = response.getHeader('sip-etag') || '';
      this.#keep();
      if (mine !== this.mine) this.tell();
      else this.#again(500 * (Number(response.getHeader('expires')) || EXPIRES));
    } else if (status === 412) {
      this.#etag = '';
      this.#told = null;
      this.#keep();
      this.tell();
    } else if (status >= 400 && status < 500 && status !== 408) {
      this.refused = status;
      this.dispatchEvent(new Event('change'));
    } else {
      this.#again(AGAIN_MS);
    }
  }

  #again(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.tell(), pause);
  }

  #keep() {
    account.keep(KEPT, { uri: this.#uri, ...this.mine, etag: this.#etag, told: this.#told === this.mine });
  }
}

/** Who signs out leaves nothing behind. */
export const forget = () => account.keep(KEPT, null);
