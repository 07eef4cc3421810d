// The pictures of a call: theirs as it comes, and ours while the camera is on.
import * as sound from './sound.js';
import { t } from './text.js';
import * as words from './words.js';

const READY_MS = 100;
const READY_TRIES = 50;

/** `mine`: our camera's track or null; `theirs`: theirs or null; `busy`: something is agreed on just now. `changed` is called for each change. */
export class Picture {
  #call;
  #changed;
  #seen = null;

  constructor(call, changed) {
    this.#call = call;
    this.#changed = changed;
    this.mine = null;
    this.busy = false;
  }

  get theirs() { return this.#seen && !this.#seen.muted && this.#seen.readyState === 'live' ? this.#seen : null; }

  /** Their track: it is silent while they send nothing. */
  see(track) {
    this.#seen = track;
    for (const event of ['mute', 'unmute', 'ended']) track.addEventListener(event, this.#changed);
    this.#changed();
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
    let way = this.#way();
    if (way) {
      await way.sender.replaceTrack(track);
      way.direction = 'sendrecv';
    } else {
      way = pc.addTransceiver(track, { direction: 'sendrecv', streams: [this.#call.stream] });
    }
    this.mine = track;
    const agreed = await this.#agree();
    // One that has no pictures says so by its port 0: the browser stops sending then.
    if (agreed && way.currentDirection && way.currentDirection.startsWith('send')) return true;
    await this.#shut(agreed && !way.stopped);
    if (!agreed && !way.currentDirection) way.stop();
    this.#call.remark(t('camera.theirs.title'), t('camera.theirs.text', { who: this.#call.peer.name }));
    return false;
  }

  async #shut(tell = true) {
    const way = this.#way();
    if (this.mine) this.mine.stop();
    this.mine = null;
    if (!way || this.#call.state !== 'up') return false;
    await way.sender.replaceTrack(null);
    way.direction = this.theirs ? 'recvonly' : 'inactive';
    return tell ? this.#agree() : false;
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
    if (this.mine) this.mine.stop();
    this.mine = null;
    this.#seen = null;
  }
}
