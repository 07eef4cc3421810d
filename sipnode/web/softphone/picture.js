// The pictures of a call: theirs as it comes, and ours while the camera is on.
import * as sound from './sound.js';
import { t } from './text.js';
import * as words from './words.js';

const READY_MS = 100;
const READY_TRIES = 50;
const COUNT_MS = 500;
const STILL = 4;

/** `mine`: our camera's track or null; `theirs`: theirs or null; `busy`: something is agreed on just now. `changed` is called for each change. */
export class Picture {
  #call;
  #changed;
  #seen = null;
  #comes = false;
  #frames = 0;
  #still = 0;
  #counting = 0;

  constructor(call, changed) {
    this.#call = call;
    this.#changed = changed;
    this.mine = null;
    this.busy = false;
  }

  get theirs() { return this.#seen && this.#comes && !this.#seen.muted && this.#seen.readyState === 'live' ? this.#seen : null; }

  /** Their track. The answer to it says that we may send, too: so our own camera needs no further offer. */
  see(track) {
    this.#seen = track;
    const way = this.#way();
    if (way && way.direction === 'recvonly') way.direction = 'sendrecv';
    for (const event of ['mute', 'unmute', 'ended']) track.addEventListener(event, this.#changed);
    if (!this.#counting) this.#counting = setInterval(() => this.#count(), COUNT_MS);
  }

  /** Where no more frames come their camera is off: nothing else says so. */
  async #count() {
    const way = this.#way();
    if (!way) return;
    let frames = 0;
    (await way.receiver.getStats()).forEach((one) => { if (one.type === 'inbound-rtp') frames = one.framesReceived || 0; });
    const came = frames > this.#frames;
    this.#frames = frames;
    this.#still = came ? 0 : this.#still + 1;
    const comes = came || (this.#comes && this.#still < STILL);
    if (comes !== this.#comes) { this.#comes = comes; this.#changed(); }
  }

  /** Our camera on or off; resolves true when the other side has agreed. */
  async show(on) {
    const { session } = this.#call;
    if (this.busy || on === Boolean(this.mine)) return false;
    this.busy = true;
    this.#changed();
    try {
      // Something else may be agreed on just now: the call itself, or Hold.
      for (let i = 0; i < READY_TRIES && !session.isReadyToReOffer(); i += 1) await new Promise((done) => { setTimeout(done, READY_MS); });
      if (!session.isReadyToReOffer()) return false;
      return await (on ? this.#open() : this.#shut());
    } finally {
      this.busy = false;
      this.#changed();
    }
  }

  async #open() {
    let track;
    try {
      track = await sound.camera();
    } catch (error) {
      const fault = words.deviceFault(error, 'camera');
      this.#call.remark(fault.title, fault.text);
      return false;
    }
    if (this.#call.state !== 'up') { track.stop(); return false; }
    track.addEventListener('ended', () => { if (this.mine === track) this.show(false); });
    const { pc } = this.#call;
    this.mine = track;
    let way = this.#way();
    const agreed = way && way.currentDirection === 'sendrecv';
    if (way) {
      await way.sender.replaceTrack(track);
      way.direction = 'sendrecv';
    } else {
      way = pc.addTransceiver(track, { direction: 'sendrecv', streams: [this.#call.stream] });
    }
    // One that has no pictures says so by its port 0, or doesn't understand at all.
    if (agreed || (await this.#agree() && (way.currentDirection || '').startsWith('send'))) return true;
    await this.#shut();
    if (!way.currentDirection) way.stop();
    this.#call.remark(t('camera.theirs.title'), t('camera.theirs.text', { who: this.#call.peer.name }));
    return false;
  }

  /** Nothing more is sent; the way stays open, as each further offer puts the sound at risk (rtpengine chooses a way anew). */
  async #shut() {
    const way = this.#way();
    if (this.mine) this.mine.stop();
    this.mine = null;
    if (way) await way.sender.replaceTrack(null);
    return true;
  }

  #way() { return this.#call.pc.getTransceivers().find((one) => !one.stopped && one.receiver.track.kind === 'video'); }

  /** Offer what is now; a refusal leaves all as it was (JsSIP's own renegotiate() ends the call then). */
  #agree() {
    const { session, pc } = this.#call;
    return new Promise((resolve) => {
      const refused = async () => {
        if (pc.signalingState === 'have-local-offer') await pc.setLocalDescription({ type: 'rollback' }).catch(() => {});
        resolve(false);
      };
      this.#call.addEventListener('end', () => resolve(false), { once: true });
      session._sendReinvite({ eventHandlers: { succeeded: () => resolve(true), failed: refused } });
    });
  }

  end() {
    clearInterval(this.#counting);
    if (this.mine) this.mine.stop();
    this.mine = null;
    this.#seen = null;
  }
}
