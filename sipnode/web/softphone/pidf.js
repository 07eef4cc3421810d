// Presence documents (RFC 3863, with activities of RFC 4480): what one says, and the one about oneself.

export const TYPE = 'application/pidf+xml';
export const LONGEST_NOTE = 80;

const PIDF = 'urn:ietf:params:xml:ns:pidf';
const MODEL = 'urn:ietf:params:xml:ns:pidf:data-model';
const RPID = 'urn:ietf:params:xml:ns:pidf:rpid';
// Who does several things is shown as the first of these.
const STATES = [
  ['phone', ['on-the-phone']],
  ['busy', ['busy', 'meeting', 'appointment', 'presentation', 'performance', 'worship', 'steering', 'driving']],
  ['away', ['away', 'breakfast', 'dinner', 'holiday', 'in-transit', 'meal', 'permanent-absence', 'shopping', 'sleeping', 'spectator', 'travel', 'tv', 'vacation']],
];
// The page's policy asks for it even where XML is read, in which no script ever runs.
const trusted = window.trustedTypes ? window.trustedTypes.createPolicy('pidf', { createHTML: (text) => text }) : { createHTML: (text) => text };

/**
 * {state, said, note} of a document, or null for what isn't one. `state` is how somebody is (`online away busy phone offline`), `said` what
 * they said themself (`online away busy`).
 */
export function read(text) {
  const root = new DOMParser().parseFromString(trusted.createHTML(text), 'application/xml').documentElement;
  if (root.namespaceURI !== PIDF || root.localName !== 'presence') return null;
  const all = (namespace, name) => Array.from(root.getElementsByTagNameNS(namespace, name));
  const open = all(PIDF, 'basic').some((basic) => basic.textContent.trim() === 'open');
  const doing = all(RPID, 'activities').flatMap((list) => Array.from(list.children, (activity) => activity.localName));
  const found = STATES.filter(([, names]) => doing.some((name) => names.includes(name))).map(([state]) => state);
  // A server may say what somebody does in a note as well, for phones that read nothing else.
  const words = doing.map((name) => name.replace(/-/g, ' ')).concat('on the phone');
  const [note] = [...all(PIDF, 'note'), ...all(MODEL, 'note')].filter((one) => !words.includes(one.textContent.trim().toLowerCase()));
  return {
    state: open ? found[0] || 'online' : 'offline',
    said: found.find((state) => state !== 'phone') || 'online',
    note: note ? note.textContent.trim().slice(0, LONGEST_NOTE) : '',
  };
}

/**
 * What somebody says about themself. It has no tuple: whether a device of theirs can be reached the server knows by their registrations, and
 * so nobody who has left is shown as there. A person who does nothing, and an empty note, take the place of what was said elsewhere before.
 */
export function write(entity, { state, note }, source) {
  const doing = state === 'away' || state === 'busy' ? `<rpid:activities><rpid:${state}/></rpid:activities>` : '';
  return `<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="${PIDF}" xmlns:dm="${MODEL}" xmlns:rpid="${RPID}" entity="${escape(entity)}">`
    + `<note>${escape(note)}</note><dm:person id="${escape(source)}">${doing}</dm:person></presence>\n`;
}

/** As it may stand in a document: one line, and no half of a character. */
export const clean = (note) => note.replace(/[\ud800-\udfff\ufffe\uffff]/gu, '').replace(/[\u0000-\u001f\s]+/g, ' ').trim().slice(0, LONGEST_NOTE);

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
function escape(text) { return text.replace(/[&<>"]/g, (sign) => ENTITIES[sign]); }
