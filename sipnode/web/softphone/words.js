// What went wrong, for the person in front of the page: {title, text} for each fault, and nothing but text.

/** A refused REGISTER. */
export function signInFault(status, who, domain) {
  if (status === 401 || status === 403 || status === 407) {
    return { title: 'Not signed in.', text: `The server doesn't know ${who} with this password. Check both, capital letters included.`, final: true };
  }
  if (status === 404) return { title: 'No such user.', text: `The server has no user ${who} at ${domain}.`, final: true };
  if (status === 503) return { title: 'The server is busy.', text: 'It takes nobody new right now.', final: false };
  if (status) return { title: 'The server refused to sign you in.', text: `It answered ${status}.`, final: false };
  return { title: 'No answer to the sign-in.', text: 'The connection stands, but the telephone server says nothing.', final: false };
}

/** The connection is gone or doesn't come up. `reach`: 'page' when the server still gives web pages, 'none', or 'unknown'. */
export function lineFault({ reach, secure, device, clean }) {
  if (device === 'offline') return { title: 'This device is offline.', text: 'It has no network.' };
  if (reach === 'page' && secure) {
    return {
      title: 'The telephone line is refused.',
      text: 'The server shows this page but takes no wss connection: its certificate isn\'t accepted, or something in between blocks WebSockets.',
    };
  }
  if (reach === 'page') {
    return { title: 'The telephone line is refused.', text: 'The server shows this page but takes no WebSocket connection from it.' };
  }
  if (reach === 'none') return { title: 'The server can\'t be reached.', text: secure ? 'It is down, out of reach, or its certificate has changed.' : 'It is down or out of reach.' };
  return { title: clean ? 'The server closed the connection.' : 'The connection broke.', text: '' };
}

/** getUserMedia's refusal, by the name of its error. */
export function microphoneFault(error) {
  const name = error && error.name;
  if (name === 'Insecure') {
    return { title: 'No microphone on this address.', text: 'A browser gives the microphone only to pages over https, or to localhost. Open this page over https.' };
  }
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return { title: 'The microphone is refused.', text: 'Allow it for this page (the sign at the left of the address bar) and call again.' };
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') {
    return { title: 'No microphone found.', text: 'Plug one in or choose another one in the settings, then call again.' };
  }
  if (name === 'NotReadableError' || name === 'AbortError') {
    return { title: 'The microphone doesn\'t start.', text: 'Another program may hold it. Close that one and call again.' };
  }
  return { title: 'The microphone can\'t be used.', text: String((error && error.message) || name || '') };
}

/** How somebody is, by the state of pidf.js. */
export const PRESENCE = { online: 'Online', away: 'Away', busy: 'Busy', phone: 'On the phone', offline: 'Offline' };

/** One's own state that the server won't take. */
export function presenceFault(status) {
  if (status === 403) return 'The server doesn\'t let this account tell its state.';
  if (status === 413) return 'The note is too long for the server.';
  return `The server didn't take it (${status}).`;
}

/** A call that never came up. */
export function callFault({ status, cause, who, domain, online }) {
  // A registrar answers 404 for both; who is on the list of people exists.
  if ((status === 404 || status === 480) && typeof online === 'boolean') return { title: `${who} isn't signed in.`, text: 'No phone or page of theirs is there to ring. Try again later.' };
  switch (status) {
    case 486: case 600: return { title: `${who} is busy.`, text: 'Try again in a while.' };
    case 603: case 607: return { title: `${who} declined the call.`, text: '' };
    case 480: case 410: return { title: `${who} isn't available.`, text: 'No phone of theirs is signed in right now.' };
    case 404: case 604: return { title: `${who} wasn't found.`, text: `No phone answers to that address${domain ? ` at ${domain}` : ''}: the user doesn't exist or isn't signed in.` };
    case 484: return { title: 'The address is incomplete.', text: 'Something is missing in what was dialled.' };
    case 408: case 487: return { title: `${who} didn't answer.`, text: '' };
    case 401: case 403: case 407: return { title: 'This call isn\'t allowed.', text: 'The server lets this account not call that address.' };
    case 405: return { title: `${who} takes no calls.`, text: 'The other side is signed in with something that isn\'t a telephone.' };
    case 415: case 488: case 606: return { title: 'No common kind of sound.', text: 'The two sides have no codec that both understand.' };
    case 430: case 478: case 502: case 504: return { title: `${who} can't be reached.`, text: 'The way to the other side is broken.' };
    case 503: return { title: 'The server can\'t carry this call.', text: 'It is overloaded, or its media relay is down.' };
    default: break;
  }
  switch (cause) {
    case 'Connection Error': return { title: 'The line broke.', text: 'The connection to the server was lost while dialling.' };
    case 'Request Timeout': return { title: 'No answer from the server.', text: 'It heard the call but never replied.' };
    case 'RTP Timeout': return { title: 'No way for the sound.', text: 'The call was set up, but no sound can pass between this browser and the server.' };
    case 'Bad Media Description': case 'Missing SDP': case 'WebRTC Error':
      return { title: 'The sound could not be set up.', text: 'The browser refused what the other side offered.' };
    case 'No Answer': return { title: 'Not answered.', text: '' };
    case 'Canceled': return { title: 'Missed call.', text: `${who} hung up before it was answered.` };
    default: return { title: 'The call failed.', text: status ? `The server answered ${status}.` : String(cause || '') };
  }
}

/** A call that was up and ended; empty when there's nothing to explain. */
export function endFault({ cause, originator, who }) {
  if (cause === 'RTP Timeout') return { title: 'The sound broke off.', text: 'The way for the sound was lost, so the call was ended.' };
  if (cause === 'No ACK') return { title: 'The call fell apart.', text: `${who} never confirmed it.` };
  if (cause === 'Request Timeout') return { title: 'The call was lost.', text: `${who} didn't answer any more.` };
  if (cause === 'Connection Error') return { title: 'The line broke.', text: 'The connection to the server was lost.' };
  return { title: originator === 'remote' ? `${who} hung up.` : 'Call ended.', text: '' };
}

/** Seconds as m:ss or h:mm:ss. */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, '0');
  const head = s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}` : String(Math.floor(s / 60));
  return `${head}:${two(s % 60)}`;
}
