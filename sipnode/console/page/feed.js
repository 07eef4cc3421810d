// What happens on the server, as it happens.
import { encode } from './api.js';

const AGAIN = 3000;

export class Feed {
  /** `on`: {lines, call, state, many, behind, live, closed}: what to do with each. */
  constructor(on) {
    this.on = on;
    this.source = null;
    this.call = null;
    this.timer = 0;
    this.lost = false;
  }

  /** Be told of everything, and of one call more closely. */
  watch(call = '') {
    if (this.source && this.call === call) return;
    this.stop();
    this.call = call;
    const source = this.source = new EventSource(`api/feed${call ? `?call=${encode(call)}` : ''}`);
    for (const name of ['lines', 'call', 'state', 'many', 'behind']) {
      source.addEventListener(name, (event) => this.source === source && this.on[name](JSON.parse(event.data)));
    }
    source.addEventListener('open', () => {
      if (this.source !== source) return;
      this.on.live(true);
      // Something may have happened between two connections.
      if (this.lost) this.on.behind({});
      this.lost = false;
    });
    source.addEventListener('error', () => {
      if (this.source !== source) return;
      this.lost = true;
      this.on.live(false);
      if (source.readyState === EventSource.CLOSED) {
        this.stop();
        this.timer = setTimeout(() => this.on.closed(call), AGAIN);
      }
    });
  }

  stop() {
    clearTimeout(this.timer);
    if (this.source) this.source.close();
    this.source = null;
    this.call = null;
  }
}
