// Who signs in: by the form, which a link may have filled in, or from this tab's memory; and which instance this tab is.

const ACCOUNT = 'sipnode.account';
const INSTANCE = 'sipnode.instance';
const SOURCE = 'sipnode.source';

// Storage throws where the browser is told to keep nothing; the page works without it.
export function recall(key, where = 'sessionStorage') {
  try { return JSON.parse(window[where].getItem(key)); } catch { return null; }
}
export function keep(key, value, where = 'sessionStorage') {
  try {
    if (value === null) window[where].removeItem(key); else window[where].setItem(key, JSON.stringify(value));
  } catch { /* nothing is kept then */ }
}

/** `#user=…&password=…[&remember=1]` or `#call=…`: read once, and gone from the address bar and the history before anything else happens. */
export function fromFragment() {
  if (!location.hash.includes('=')) return null;
  const given = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, '', location.pathname + location.search);
  if (given.get('call')) return { call: given.get('call').slice(0, 200) };
  if (!given.get('user')) return null;
  return { user: given.get('user'), password: given.get('password') || '', remember: given.get('remember') === '1' };
}

export const remembered = () => recall(ACCOUNT);
export const remember = ({ user, password }) => keep(ACCOUNT, { user, password, remember: true });
export const forget = () => keep(ACCOUNT, null);

/** "alice" or "alice@example.net" → {user, domain}. */
export function split(name, domain) {
  const text = name.trim().replace(/^sip:/i, '');
  const at = text.lastIndexOf('@');
  return at < 0 ? { user: text, domain } : { user: text.slice(0, at), domain: text.slice(at + 1).toLowerCase() };
}

function uuid() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = Array.from(b, (n) => n.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/**
 * The identity of this tab (RFC 5626 §4.1): the same after a reload, so that the server knows whose connection is back.
 * "Duplicate tab" copies the tab's memory; a lock that lives as long as the page tells the original from the copy.
 */
export async function instance() {
  let id = recall(INSTANCE);
  if (id && navigator.locks) {
    const mine = await claim(id);
    if (mine) return id;
    id = null;
  }
  if (!id) {
    id = uuid();
    keep(INSTANCE, id);
    if (navigator.locks) await claim(id);
  }
  return id;
}
/** A name for what this tab tells of its user: as lasting as the instance, and telling nothing of it. */
export function source() {
  const of = recall(INSTANCE);
  const kept = recall(SOURCE);
  if (kept && kept.of === of) return kept.id;
  const id = `softphone-${uuid()}`;
  keep(SOURCE, { of, id });
  return id;
}
function claim(id) {
  return new Promise((done) => {
    navigator.locks.request(`sipnode-${id}`, { ifAvailable: true }, (lock) => {
      done(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined;
    }).catch(() => done(true));
  });
}

/** Without its %xx; as it stands where they are no text. */
export function decode(text) { try { return decodeURIComponent(text); } catch { return text; } }

/** What was typed, as a SIP address: a name or number of our domain, or a whole address. */
export function target(typed, domain) {
  const text = typed.trim();
  if (!text) return '';
  if (/^sips?:/i.test(text)) return text;
  // RFC 3966: what stands behind ; is about the number.
  if (/^tel:/i.test(text)) return target(decode(text.slice(4).replace(/;.*$/, '')), domain);
  if (text.includes('@')) return `sip:${text}`;
  const number = /^[+\d][\d\s().\-/]*$/.test(text) ? text.replace(/[\s().\-/]/g, '') : text;
  return `sip:${encodeURIComponent(number).replace(/%2B/g, '+')}@${domain}`;
}

/** What the server's own pages ask of a user: name and password, over https only (RFC 7617). */
export function authorization({ user, domain, password }) {
  const octets = new TextEncoder().encode(`${user}@${domain}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...octets))}`;
}
