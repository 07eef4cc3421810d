// One call: a JsSIP session and its sound, from dialling or ringing to its end.
import { Picture } from './picture.js';
import { counted, graded } from './quality.js';
import * as again from './resume.js';
import * as sound from './sound.js';
import { fault, t } from './text.js';
import { ends, refer } from './transfer.js';
import * as words from './words.js';

// A machine with many or broken network interfaces would else hold back the call until every one is tried.
const GATHER_MS = 700;
const QUIET_MS = 6000;
const COUNT_MS = 2000;
// So long the way of the sound may be away before the call is given up.
const MEND_MS = 15000;
const ASK_MS = 4000;
// An ICE that is just renewing itself is away for a moment.
const BLINK_MS = 1000;

/** What `deed(done)` is done with, null when it takes longer. */
const soon = (ms, deed) => new Promise((done) => { setTimeout(() => done(null), Math.max(0, ms)); deed(done); });

/**
 * Events: `change`, `end`; `refer` (detail: {uri, accept, reject}): the other side would have us call somebody else; `replaces`
 * (detail: {accept}): somebody else comes in its place. States: preparing, calling, ringing, incoming, answering, up, ended.
 */
export class Call extends EventTarget {
  constructor({ line, peer, direction, session, device, online, ice }) {
    super();
    Object.assign(this, { line, peer, direction, device, online, ice: ice || [] });
    this.state = direction === 'in' ? 'incoming' : 'preparing';
    this.session = null;
    this.since = 0;
    this.when = Date.now();
    this.muted = false;
    this.held = false;
    this.heldByThem = false;
    this.waiting = false;
    this.early = false;
    this.note = null;
    this.fault = null;
    this.code = 0;
    this.bad = false;
    this.sent = '';
    this.passing = false;
    this.before = null;
    this.away = null;
    this.mending = false;
    this.quality = null;
    this.picture = new Picture(this, () => this.#change());
    this.element = null;
    if (session) this.#watch(session);
  }

  get live() { return this.state !== 'ended'; }
  get seconds() { return this.since ? ((this.state === 'ended' ? this.endedAt : Date.now()) - this.since) / 1000 : 0; }

  get #media() {
    // The relay gives sound and pictures ports of their own: without a bundle from the start, pictures can be added later.
    const pcConfig = { iceServers: this.ice, bundlePolicy: 'max-compat' };
    return { mediaStream: this.stream, mediaConstraints: { audio: true, video: false }, pcConfig };
  }

  /** Dial; or be called into being by `begin(adopt, options)`, which gives `adopt` a session that dials and returns false where none can. */
  async dial(begin = (adopt, options) => adopt(this.line.ua.call(this.peer.uri, options))) {
    if (!await this.#takeMicrophone()) return;
    if (!this.live) { this.#release(); return; }
    try {
      if (begin((session) => this.#watch(session), this.#media) === false) throw new Error('too late');
    } catch {
      this.#finish(fault('call.address'), true);
      return;
    }
    this.#change('calling');
  }

  /** What another page needs to go on with it; null while it isn't up. */
  get kept() {
    if (this.before) return this.before;
    const dialog = this.state === 'up' ? again.kept(this.session) : null;
    return dialog && { dialog, peer: this.peer, since: this.since, muted: this.muted, held: this.held, heldByThem: this.heldByThem };
  }

  /** Go on with a call that this tab had before it was loaded anew; `state` is what `kept` was. */
  async resume(state) {
    this.before = state;
    this.remark(t('resume.title'), t('resume.text'));
    if (!await this.#takeMicrophone(() => this.#abandon(state))) return;
    if (!this.live) { this.#release(); this.#abandon(state); return; }
    const session = again.resumed(this.line.ua, state.dialog, this.#media, (made) => this.#watch(made));
    session._localHold = this.held = Boolean(state.held);
    session._remoteHold = this.heldByThem = Boolean(state.heldByThem);
    this.before = null;
    this.#up(state.since);
    if (state.muted) this.mute(true);
    if (await again.offer(session)) this.#remark('', '');
    else if (this.live) this.#lose();
  }

  /** It can't go on here: the other side is told. */
  #abandon(state) {
    const session = again.resumed(this.line.ua, state.dialog, { mediaStream: new MediaStream(), pcConfig: {} }, () => {});
    session.terminate();
  }

  /** The way of the sound, or of a request, is gone: find another one over the line as it is then. */
  async #mend() {
    if (this.mending) return;
    this.mending = true;
    this.remark(t('resume.title'), t('resume.text'));
    const until = Date.now() + MEND_MS;
    const { session, pc } = this;
    let back = false;
    while (!back && this.live && Date.now() < until) {
      await soon(until - Date.now(), (done) => this.line.whenReady(done));
      if (!this.live || this.line.state !== 'ready') break;
      const agreed = await soon(ASK_MS, (done) => { again.offer(session, { iceRestart: true }, 3).then(done); });
      // The socket of a network that is gone says nothing of it.
      if (!agreed && this.line.state === 'ready' && this.live) this.line.renew();
      back = agreed === true && await soon(ASK_MS, (done) => {
        const look = () => { if (pc.connectionState === 'connected') done(true); };
        pc.addEventListener('connectionstatechange', look);
        look();
      }) === true;
    }
    this.mending = false;
    if (back) this.remark('', ''); else if (this.live) this.#lose();
  }

  #lose() {
    const { session } = this;
    this.#finish(fault('resume.lost', { who: this.peer.name }), true);
    if (!session.isEnded()) session.terminate();
  }

  async answer() {
    if (this.state !== 'incoming') return;
    this.#change('answering');
    if (!await this.#takeMicrophone()) return;
    if (!this.live) { this.#release(); return; }
    this.session.answer(this.#media);
  }

  /** It can't even begin. */
  fail(why) { this.#finish(why, true); }

  /** Hang up, cancel, or reject: whichever this state has. */
  hangup(status) {
    if (!this.live) return;
    if (!this.session) { this.#finish(fault('end.ours'), false); return; }
    const { session } = this;
    const options = this.state === 'incoming' || this.state === 'answering' ? { status_code: status || 486 } : {};
    if (this.state === 'up' && !this.line.connected) {
      // It ends here at once; the other side is told as soon as it can be, or it would stay in a call with nobody.
      session.connection.getSenders().forEach((sender) => { if (sender.track) sender.track.stop(); });
      this.line.whenReady(() => { if (!session.isEnded()) session.terminate(); });
      this.#finish(fault('end.later'), false);
      return;
    }
    try { session.terminate(options); } catch { this.#finish(fault('end.ours'), false); }
  }

  mute(on = !this.muted) {
    if (!this.session || this.state !== 'up') return;
    if (on) this.session.mute({ audio: true }); else this.session.unmute({ audio: true });
  }

  /**
   * Hold or resume; resolves true when the other side has agreed. A refusal ends the call, as JsSIP has it, and so would a line that is
   * down: then it waits for the line; asked for again it doesn't any more.
   */
  hold(on = !this.held) {
    return new Promise((done) => {
      if (this.state !== 'up' || on === this.held) { done(false); return; }
      if (!this.line.connected || this.line.state !== 'ready') {
        this.waiting = !this.waiting;
        this.#change();
        const mine = this.waiting && (this.asked = {});
        if (mine) this.line.whenReady(() => { if (this.waiting && this.asked === mine) { this.waiting = false; this.#change(); this.hold(on).then(done); } else done(false); });
        else done(false);
        return;
      }
      const agreed = () => done(true);
      this.addEventListener('end', () => done(false), { once: true });
      const asked = on ? this.session.hold({}, agreed) : this.session.unhold({}, agreed);
      if (asked === false) done(false);
    });
  }

  /** The camera on or off; resolves true when the other side has agreed. */
  camera(on = !this.picture.mine) { return this.state === 'up' ? this.picture.show(on) : Promise.resolve(false); }

  /**
   * Hand the other side over to an address, or to who is at the end of `other`, a call of ours that is up; resolves whether it is there.
   * It waits on hold meanwhile, and then this call is over; if nothing comes of it, it is still there and the page says why.
   */
  async pass(uri, name, other = null) {
    if (this.state !== 'up' || this.passing || (other && other.state !== 'up')) return false;
    const all = other ? [this, other] : [this];
    for (const one of all) { one.passing = true; one.remark(t('pass.trying.title'), t('pass.trying.text', { who: this.peer.name, name })); }
    if (!this.held) await this.hold(true);
    const status = this.state === 'up' ? await refer(this, uri, other && ends(other.session)) : 0;
    const done = status >= 200 && status < 300;
    for (const one of all) {
      one.passing = false;
      one.passed = done ? { who: this.peer.name, name } : null;
      if (done) one.hangup(); else one.remark(t('pass.failed.title'), words.callFault({ status, who: name }).title);
    }
    return done;
  }

  tone(key) {
    if (!this.session || this.state !== 'up') return;
    try {
      this.session.sendDTMF(key, { transportType: this.#canSendTone() ? 'RFC2833' : 'INFO', duration: 160, interToneGap: 70 });
    } catch { return; }
    sound.keyTone(key);
    this.sent = (this.sent + key).slice(-24);
    this.#change();
  }

  /** How loud and which pitch: what is heard, and what is sent. */
  levels() {
    const of = (ear) => (ear ? { db: ear.db(), hz: ear.hz() } : { db: -100, hz: 0 });
    return { heard: of(this.far), sent: of(this.near) };
  }

  #canSendTone() {
    const sender = this.session.connection.getSenders().find((s) => s.track && s.track.kind === 'audio');
    return Boolean(sender && sender.dtmf && sender.dtmf.canInsertDTMF);
  }

  async #takeMicrophone(otherwise = () => {}) {
    try {
      this.stream = await sound.microphone(this.device);
    } catch (error) {
      otherwise();
      // A call that can't be answered here may still be answered on another phone of the same user: 480, not 603.
      if (this.session && this.live) { this.fault = words.deviceFault(error); this.bad = true; this.session.terminate({ status_code: 480 }); } else this.#finish(words.deviceFault(error), true);
      return false;
    }
    this.near = new sound.Ear(this.stream);
    this.stream.getAudioTracks()[0].addEventListener('ended', () => {
      if (this.state === 'up') this.#remark(t('microphone.gone.title'), t('microphone.gone.text'));
    });
    return true;
  }

  #watch(session) {
    this.session = session;
    session.on('peerconnection', ({ peerconnection }) => this.#connect(peerconnection));
    if (session.connection) this.#connect(session.connection);
    let gathering = null;
    session.on('icecandidate', ({ ready }) => { if (gathering !== ready) { gathering = ready; setTimeout(ready, GATHER_MS); } });
    again.follow(session);
    again.guard(session, (cause) => {
      if (this.state !== 'up' || !again.mendable(cause)) return false;
      this.#mend();
      return true;
    });
    session.on('sdp', (event) => { event.sdp = event.sdp.replace(/^a=group:BUNDLE.*\r\n/m, ''); });
    session.on('progress', ({ originator, response }) => {
      if (originator !== 'remote' || !this.live) return;
      if (response && response.body) this.early = true;
      if (response && response.status_code > 100) this.#change('ringing');
    });
    session.on('accepted', () => { if (this.direction === 'out') this.#up(); });
    session.on('confirmed', () => this.#up());
    session.on('muted', () => { this.muted = true; this.#change(); });
    session.on('unmuted', () => { this.muted = false; this.#change(); });
    session.on('hold', ({ originator }) => { if (originator === 'remote') this.heldByThem = true; else this.held = true; this.#change(); });
    session.on('unhold', ({ originator }) => { if (originator === 'remote') this.heldByThem = false; else this.held = false; this.#change(); });
    session.on('failed', (event) => this.#failed(event));
    session.on('ended', ({ originator, cause }) => {
      const why = this.passed ? fault('end.passed', this.passed) : words.endFault({ cause, originator, who: this.peer.name });
      this.#finish(why, Boolean(why.text));
    });
    session.on('refer', ({ request, accept, reject }) => {
      const uri = request.refer_to.uri.clone();
      uri.clearHeaders();
      this.dispatchEvent(new CustomEvent('refer', { detail: { uri: uri.toString(), accept, reject } }));
    });
    session.on('replaces', ({ accept }) => this.dispatchEvent(new CustomEvent('replaces', { detail: { accept } })));
  }

  #up(since = Date.now()) {
    if (this.since || !this.live) return;
    this.since = since;
    this.#change('up');
    this.quiet = setTimeout(() => this.#checkSound(), QUIET_MS);
    this.counting = setInterval(() => this.#count(), COUNT_MS);
  }

  #connect(pc) {
    if (this.pc === pc) return;
    this.pc = pc;
    pc.addEventListener('track', ({ track }) => { if (track.kind === 'audio') this.#hear(track); else this.picture.see(track); });
    for (const { track } of pc.getReceivers()) if (track && track.kind === 'audio') this.#hear(track);
    let interrupted = null;
    pc.addEventListener('connectionstatechange', () => {
      if (!this.live) return;
      if (pc.connectionState === 'disconnected') {
        setTimeout(() => { if (this.state === 'up' && pc.connectionState === 'disconnected') this.#mend(); }, BLINK_MS);
        this.#remark(t('sound.interrupted.title'), t('sound.interrupted.text'));
        interrupted = this.note;
      }
      // What else is said stays.
      if (pc.connectionState === 'connected' && interrupted && this.note === interrupted) this.#remark('', '');
      if (pc.connectionState === 'failed' && this.state !== 'up') {
        this.#remark(t('sound.failed.title'), t('sound.failed.text'));
      }
    });
  }

  #hear(track) {
    const stream = new MediaStream([track]);
    if (!this.live) return;
    if (!this.element) this.element = sound.voice();
    const { element } = this;
    // WebAudio gets nothing of a remote track that no media element plays.
    element.srcObject = stream;
    element.play().catch((error) => {
      if (error.name === 'NotAllowedError') this.#remark(t('sound.asleep.title'), t('sound.asleep.text'));
    });
    if (this.far) this.far.close();
    this.far = new sound.Ear(stream);
  }

  /** A call that is up but brings no packets: say so, it looks like a bug of the page otherwise. */
  async #checkSound() {
    if (this.state !== 'up' || this.held || this.heldByThem) return;
    let packets = 0;
    (await this.pc.getStats()).forEach((r) => { if (r.type === 'inbound-rtp' && r.kind === 'audio') packets += r.packetsReceived; });
    if (!packets && this.state === 'up') this.#remark(t('sound.none.title'), t('sound.none.text'));
  }

  /** How well it is carried, every two seconds; nothing is said while somebody holds. */
  async #count() {
    const now = counted(await this.pc.getStats());
    const was = this.counted;
    this.counted = now;
    if (this.state !== 'up') return;
    this.quality = was && !this.held && !this.heldByThem ? graded(was, now) : null;
    if (this.held || this.heldByThem) this.counted = null;
    // Whoever loads their page anew, or moves to another network, sends nothing for some seconds.
    const silent = Boolean(was && this.quality && now.arrived && now.arrived === was.arrived);
    if (silent && !this.note) { this.remark(t('away.title', { who: this.peer.name }), t('away.text')); this.away = this.note; }
    if (!silent && this.away) { if (this.note === this.away) this.remark('', ''); this.away = null; }
    this.#change();
  }

  #failed({ originator, message, cause }) {
    this.code = originator === 'remote' && message && message.status_code ? message.status_code : 0;
    if (this.bad && this.fault) { this.#finish(this.fault, true); return; }
    if (originator === 'local' && (cause === 'Canceled' || cause === 'Rejected')) {
      this.#finish(fault(this.direction === 'in' ? 'call.rejected' : 'call.cancelled'), false);
      return;
    }
    if (this.direction === 'in') {
      const elsewhere = message && /cause\s*=\s*200/.test((message.getHeader && message.getHeader('Reason')) || '');
      this.missed = !elsewhere && (cause === 'Canceled' || cause === 'No Answer' || cause === 'Expires');
      if (elsewhere) { this.#finish(fault('call.elsewhere'), false); return; }
    }
    const domain = this.peer.uri.replace(/^[^@]*@/, '').replace(/[;>?].*$/, '');
    this.#finish(words.callFault({ status: this.direction === 'out' ? this.code : 0, cause, who: this.peer.name, domain, online: this.online }), !this.missed);
  }

  /** Say something about it; '' for nothing. */
  remark(title, text) { this.#remark(title, text); }

  #remark(title, text) {
    this.note = title ? { title, text } : null;
    this.#change();
  }

  #change(state) {
    if (!this.live) return;
    if (state) this.state = state;
    // Whoever is on hold isn't heard, whatever they send.
    if (this.element) this.element.muted = this.held;
    this.dispatchEvent(new Event('change'));
  }

  #finish(why, bad) {
    if (!this.live) return;
    this.endedAt = Date.now();
    this.fault = why;
    this.bad = bad;
    this.note = null;
    this.state = 'ended';
    this.#release();
    this.dispatchEvent(new Event('change'));
    this.dispatchEvent(new Event('end'));
  }

  #release() {
    clearTimeout(this.quiet);
    clearInterval(this.counting);
    this.picture.end();
    if (this.stream) this.stream.getTracks().forEach((track) => track.stop());
    if (this.near) this.near.close();
    if (this.far) this.far.close();
    this.near = null;
    this.far = null;
    if (this.element) sound.silence(this.element);
    this.element = null;
  }
}
