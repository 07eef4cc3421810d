// What went wrong, for the person in front of the page: which words of words.json each fault has.
import { fault, t } from './text.js';

/** A refused REGISTER: {title, text, final}. */
export function signInFault(status, who, domain) {
  const key = { 401: 'password', 403: 'password', 407: 'password', 404: 'user', 503: 'busy' }[status] || (status ? 'other' : 'silent');
  return { ...fault(`signin.${key}`, { who, domain, status }), final: key === 'password' || key === 'user' };
}

/** The connection is gone or doesn't come up. `reach`: 'page' when the server still gives web pages, 'none', or 'unknown'. */
export function lineFault({ reach, secure, device, clean }) {
  if (device === 'offline') return fault('line.offline');
  if (reach === 'page') return fault(secure ? 'line.refused.secure' : 'line.refused');
  if (reach === 'none') return fault(secure ? 'line.none.secure' : 'line.none');
  return fault(clean ? 'line.closed' : 'line.broke');
}

/** getUserMedia's refusal of the microphone, or of the camera, by the name of its error. */
export function deviceFault(error, device = 'microphone') {
  const name = error && error.name;
  const key = {
    Insecure: 'insecure', NotAllowedError: 'refused', SecurityError: 'refused', NotFoundError: 'none', OverconstrainedError: 'none', NotReadableError: 'taken', AbortError: 'taken',
  }[name];
  return key ? fault(`${device}.${key}`) : { title: t(`${device}.other.title`), text: String((error && error.message) || name || '') };
}

/** How somebody is, by the state of pidf.js. */
export const presence = (state) => t(`presence.${state}`);

/** One's own state that the server won't take. */
export function presenceFault(status) {
  return t({ 403: 'publish.forbidden', 413: 'publish.long' }[status] || 'publish.other', { status });
}

const BY_STATUS = {
  486: 'busy', 600: 'busy', 603: 'declined', 607: 'declined', 480: 'away', 410: 'away', 404: 'unknown', 604: 'unknown', 484: 'incomplete', 408: 'silent', 487: 'silent',
  401: 'forbidden', 403: 'forbidden', 407: 'forbidden', 405: 'notaphone', 415: 'codec', 488: 'codec', 606: 'codec', 430: 'unreachable', 478: 'unreachable',
  502: 'unreachable', 504: 'unreachable', 503: 'overload',
};
const BY_CAUSE = {
  'Connection Error': 'line', 'Request Timeout': 'server', 'RTP Timeout': 'media', 'Bad Media Description': 'sdp', 'Missing SDP': 'sdp', 'WebRTC Error': 'sdp',
  'No Answer': 'noanswer', Canceled: 'missed',
};

/** A call that never came up. */
export function callFault({ status, cause, who, domain, online }) {
  // A registrar answers 404 for both; who is on the list of people exists.
  if ((status === 404 || status === 480) && typeof online === 'boolean') return fault('call.offline', { who });
  const key = BY_STATUS[status] || BY_CAUSE[cause];
  if (key) return fault(`call.${key}`, { who, domain });
  return { title: t('call.other.title'), text: status ? t('call.other.text', { status }) : String(cause || '') };
}

/** A call that was up and ended; without a text when there's nothing to explain. */
export function endFault({ cause, originator, who }) {
  const key = { 'RTP Timeout': 'media', 'No ACK': 'ack', 'Request Timeout': 'lost', 'Dialog Error': 'lost', 'Connection Error': 'line' }[cause];
  return fault(`end.${key || (originator === 'remote' ? 'theirs' : 'ours')}`, { who });
}

/** Seconds as m:ss or h:mm:ss. */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, '0');
  const head = s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}` : String(Math.floor(s / 60));
  return `${head}:${two(s % 60)}`;
}
