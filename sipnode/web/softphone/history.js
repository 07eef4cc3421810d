// The calls that were: kept in the browser beyond the tab, for one user.
import * as account from './account.js';

const MOST = 100;
const key = ({ user, domain }) => `sipnode.recent.${user}@${domain}`;

/** [{uri, name, direction: 'in' | 'out', when, seconds, outcome: 'answered' | 'missed' | 'failed'}], newest first. */
export const recall = (me) => (me && account.recall(key(me), 'localStorage')) || [];

/** Another tab of the same user may have had calls meanwhile. */
export function add(me, { peer, direction, when, seconds, outcome }) {
  account.keep(key(me), [{ uri: peer.uri, name: peer.name, direction, when, seconds, outcome }, ...recall(me)].slice(0, MOST), 'localStorage');
}
export const forget = (me) => account.keep(key(me), null, 'localStorage');

/** Call back when another tab of that user adds to it. */
export function follow(whose, changed) {
  window.addEventListener('storage', (event) => { if (whose() && event.key === key(whose())) changed(); });
}
