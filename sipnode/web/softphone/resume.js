// A call that goes on in another page, or over another network: what is kept of its dialog, a JsSIP session that is made of it, and the offer
// that brings the sound back. JsSIP has nothing of the kind: what begins with _ is of the version that package-lock.json pins.
import JsSIP from 'jssip';
import Dialog from 'jssip/lib/Dialog.js';
import RTCSession from 'jssip/lib/RTCSession.js';
import { keep, recall } from './account.js';

const KEY = 'sipnode.calls';
// A server gives up calls of a lost connection long before.
const OLD_MS = 30000;
// The tab may have died some requests after the last time that it wrote; CSeq may leave numbers out, but never go back (RFC 3261 §12.2.1.1).
const UNSEEN = 20;
const AGAIN_MS = 700;
const CONFIRMED = 9;
const OVER = { server_transaction: { state: 6 } };
const ORIGIN = /^o=(\S+) (\S+) (\d+) /m;

/** What a session emits when a request of ours found no way, or no answer, and the call goes on all the same. */
export const UNANSWERED = 'unanswered';
/** What makes JsSIP end a call, and need not: the sound's way is gone, or the line while it asks something. */
export const mendable = (cause) => cause === JsSIP.C.causes.RTP_TIMEOUT || cause === JsSIP.C.causes.CONNECTION_ERROR;
/** Ask `spare(cause)` before a session ends by itself. */
export function guard(session, spare) {
  session.terminate = (options = {}) => {
    if (options.cause && spare(options.cause)) session.emit(UNANSWERED); else RTCSession.prototype.terminate.call(session, options);
  };
}

/** What of a session another page needs; no key, no password. Null where it isn't up. */
export function kept(session) {
  const dialog = session && session._dialog;
  if (!dialog || !session.isEstablished()) return null;
  const { running, refresher, currentExpires } = session._sessionTimers;
  return {
    id: dialog.id.call_id, ours: dialog.id.local_tag, theirs: dialog.id.remote_tag,
    from: String(dialog._local_uri), to: String(dialog._remote_uri), target: String(dialog._remote_target), routes: dialog._route_set,
    seen: dialog._remote_seqnum || 0, sent: dialog._local_seqnum || 0, direction: session.direction,
    timers: { running, refresher, currentExpires }, origin: session.data.origin || null, media: session.data.media || ['audio'],
  };
}

/** Write down the calls of this tab (what `kept` and the page know of each), or that there are none. */
export function store(instance, calls) { keep(KEY, calls.length ? { of: instance, at: Date.now(), calls } : null); }

/** The calls that this tab had before it was loaded; once. A copy of the tab has the same memory, but is another instance. */
export function taken(instance) {
  const found = recall(KEY);
  keep(KEY, null);
  return found && found.of === instance && Date.now() - found.at < OLD_MS && Array.isArray(found.calls) ? found.calls : [];
}

/** Keep in mind what was said of the session in SDP; one that another page began stays the same for the other side (RFC 3264 §8). */
export function follow(session) {
  session.on('sdp', (event) => {
    if (event.originator !== 'local') return;
    const { data } = session;
    event.sdp = event.sdp.replace(ORIGIN, (line, name, id, version) => {
      const { before } = data;
      const origin = before && id !== before.id ? { id: before.id, version: before.version + Number(version) } : { id, version: Number(version) };
      data.origin = origin;
      return `o=${name} ${origin.id} ${origin.version} `;
    });
    data.media = Array.from(event.sdp.matchAll(/^m=(\S+)/gm), (found) => found[1]);
  });
}

/** A session that goes on with a dialog of `kept`; `adopt(session)` listens to it before anything happens. */
export function resumed(ua, state, { mediaStream, pcConfig }, adopt) {
  const session = new RTCSession(ua);
  const out = state.direction === 'outgoing';
  const uri = { from: state.from, to: state.to, contact: state.target };
  // In the shape of a response to a request of ours: that is how the sides of a dialog are told apart.
  const message = {
    call_id: state.id, from_tag: state.ours, to_tag: state.theirs, cseq: state.sent + UNSEEN,
    hasHeader: () => true,
    parseHeader: (name) => ({ uri: JsSIP.URI.parse(uri[name]) }),
    getHeaders: () => state.routes.slice().reverse(),
  };
  session._direction = state.direction;
  session._local_identity = new JsSIP.NameAddrHeader(JsSIP.URI.parse(state.from));
  session._remote_identity = new JsSIP.NameAddrHeader(JsSIP.URI.parse(state.to));
  session._contact = ua.contact.toString({ outbound: true });
  session._from_tag = out ? state.ours : state.theirs;
  session._to_tag = out ? state.theirs : state.ours;
  session._id = state.id + session._from_tag;
  session._request = { ...OVER, call_id: state.id };
  session._status = CONFIRMED;
  session._is_confirmed = true;
  session._start_time = new Date();
  Object.assign(session._sessionTimers, state.timers);
  session.data.before = session.data.origin = state.origin;
  session.data.media = state.media;
  session._dialog = new Dialog(session, message, 'UAC');
  session._dialog._remote_seqnum = state.seen;
  session._dialog._outgoing_ack_seqnum = null;
  ua.newRTCSession(session, { originator: 'local', session, request: session._request });
  adopt(session);
  session._createRTCConnection(pcConfig);
  session._localMediaStream = mediaStream;
  for (const track of mediaStream.getTracks()) session.connection.addTrack(track, mediaStream);
  // An offer may leave out nothing that was agreed on before (RFC 3264 §8).
  for (const kind of state.media.slice(1)) session.connection.addTransceiver(kind === 'video' ? 'video' : 'audio', { direction: 'inactive' });
  return session;
}

/**
 * Offer anew over the line as it is now; resolves with whether the other side has agreed. It is asked again while it asks itself (RFC 3261
 * §14.1), and while the line breaks once more `tries` is what there is left.
 */
export async function offer(session, constraints = null, tries = 8) {
  for (let left = tries; left > 0 && !session.isEnded(); left -= 1) {
    if (session.isReadyToReOffer()) {
      session._setLocalMediaStatus();
      const status = await new Promise((done) => {
        session._sendReinvite({
          rtcOfferConstraints: constraints,
          eventHandlers: { succeeded: () => done(200), failed: (response) => done(response ? response.status_code : 0) },
        });
        session.on('ended', () => done(-1));
        session.on(UNANSWERED, () => done(503));
      });
      if (status === 200) return true;
      if (status === -1 || ![491, 500, 503].includes(status)) return false;
    }
    // Not both at once: whoever waits a little longer lets the other one through.
    await new Promise((done) => { setTimeout(done, AGAIN_MS * (0.5 + Math.random())); });
  }
  return false;
}
