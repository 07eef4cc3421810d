// tel: links of other pages: the browser opens this page with `#call=…`, and the number comes to the tab that is signed in.
import { decode, target } from './account.js';

const CHANNEL = 'sipnode.call';
const WAIT_MS = 400;

/** Ask the browser to open such links here; it asks the person. */
export function offer() {
  navigator.registerProtocolHandler('tel', new URL('./#call=%s', location.href).href);
}

/** What is shown of a number of a link; '' for none. It is never dialled by itself: anybody can make a link. */
export function number(given) {
  const uri = target(given.slice(0, 200), 'x');
  return uri.endsWith('@x') ? decode(uri.slice(4, -2)) : uri.replace(/^sips?:/i, '').replace(/[;?].*$/, '');
}

/** Take numbers that come to other tabs; `take(number)` says whether this one does. */
export function listen(take) {
  const channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener('message', ({ data }) => { if (data && data.number && take(String(data.number))) channel.postMessage({ taken: data.id }); });
}

/** Give a number to another tab; resolves whether one has taken it. */
export function give(wanted) {
  const channel = new BroadcastChannel(CHANNEL);
  const id = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  return new Promise((resolve) => {
    const done = (taken) => { channel.close(); resolve(taken); };
    channel.addEventListener('message', ({ data }) => { if (data && data.taken === id) done(true); });
    setTimeout(() => done(false), WAIT_MS);
    channel.postMessage({ number: wanted, id });
  });
}
