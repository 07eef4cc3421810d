// `window.sipnode`: the telephone for tests and for the console.
import * as sound from './sound.js';

const SILENCE = { db: -100, hz: 0 };

/** What is told of a call. */
export const summary = (c) => (c ? {
  state: c.state, direction: c.direction, peer: c.peer.uri, name: c.peer.name, muted: c.muted, held: c.held, heldByThem: c.heldByThem,
  seconds: c.seconds, code: c.code, bad: c.bad, words: c.fault ? `${c.fault.title} ${c.fault.text}`.trim() : '', note: c.note ? c.note.title : '',
  offer: c.offer ? c.offer.uri : '', quality: c.quality ? c.quality.grade : '', filming: Boolean(c.picture.mine), filmed: Boolean(c.picture.theirs),
} : null);

/** `phone`: the deeds and the state of app.js. */
export function expose(phone) {
  window.sipnode = {
    /** {line, words, user, call: {...} | null, waiting: [{...}], last: {...} | null, people: [{user, online, state, note}], presence: works?, mine: {state, note}} */
    status: () => ({
      line: phone.line ? phone.line.state : 'idle',
      words: phone.line && phone.line.fault ? phone.line.fault.title : '',
      user: phone.me ? `${phone.me.user}@${phone.me.domain}` : '',
      call: phone.call && phone.call.live ? summary(phone.call) : null,
      waiting: phone.calls.waiting.map(summary),
      last: phone.last,
      people: phone.people,
      presence: phone.presence ? phone.presence.works : null,
      mine: phone.presence ? phone.presence.mine : null,
      sound: sound.unlocked(),
    }),
    signIn: (user, password, remember = false) => phone.signIn({ user, password, remember }),
    signOut: phone.signOut,
    setState: (state, note = '') => phone.setMine(state, note),
    call: (uri) => Boolean(phone.dial(uri)),
    answer: () => phone.call && phone.call.answer(),
    reject: () => phone.call && phone.call.hangup(603),
    hangup: () => phone.call && phone.call.hangup(),
    hold: () => (phone.call ? phone.call.hold(true) : false),
    unhold: () => (phone.call ? phone.call.hold(false) : false),
    pass: (uri = '') => phone.pass(uri),
    camera: (on = true) => (phone.call ? phone.call.camera(on) : false),
    mute: (on = true) => phone.call && phone.call.mute(on),
    dtmf: (keys) => Array.from(keys).forEach((key) => phone.call && phone.call.tone(key)),
    /** {heard: {db, hz}, sent: {db, hz}} */
    levels: () => (phone.call ? phone.call.levels() : { heard: SILENCE, sent: SILENCE }),
    /** RTCStatsReport entries of the call's connection */
    stats: async () => {
      const all = [];
      if (phone.call && phone.call.pc) (await phone.call.pc.getStats()).forEach((entry) => all.push({ ...entry }));
      return all;
    },
    /** Which devices the tones go to: {speaker, ringer}. */
    sinks: sound.sinks,
    get ua() { return phone.line && phone.line.ua; },
  };
}
