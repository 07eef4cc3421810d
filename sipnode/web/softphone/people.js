// Who there is and who is signed in: asked from the server every few seconds while somebody can see it.
import { authorization } from './account.js';
import { t } from './text.js';

const EVERY_MS = 5000;
const SLOWER_MS = 20000;

/** Events: `change`. `every`: milliseconds between two questions. `people`: [{user, online}], null before the first answer; `trouble`: a sentence or ''. */
export class People extends EventTarget {
  constructor({ user, domain, password }) {
    super();
    Object.assign(this, { user, domain });
    this.authorization = authorization({ user, domain, password });
    this.people = null;
    this.trouble = '';
    this.every = EVERY_MS;
    this.visible = () => { if (!document.hidden) this.#ask(); };
  }

  start() {
    document.addEventListener('visibilitychange', this.visible);
    this.#ask();
  }

  stop() {
    this.stopped = true;
    document.removeEventListener('visibilitychange', this.visible);
    clearTimeout(this.timer);
  }

  /** Ask now: something has happened that may have changed it. */
  refresh() { if (!this.stopped) this.#ask(); }

  /** Presence tells who comes and goes: only who there is has to be asked for, and that changes seldom. */
  told(works) { this.every = works ? SLOWER_MS : EVERY_MS; }

  /** [{user, online, state, note}] with what presence tells of them, else with what the list says; who is there comes first. */
  with(presence) {
    return (this.people || []).map(({ user, online }) => {
      const seen = presence && presence.of(user);
      return seen ? { user, online: seen.state !== 'offline', ...seen } : { user, online, state: online ? 'online' : 'offline', note: '' };
    }).sort((a, b) => Number(b.online) - Number(a.online) || a.user.localeCompare(b.user));
  }

  async #ask() {
    clearTimeout(this.timer);
    if (this.asking || this.stopped || document.hidden) return;
    this.asking = true;
    let pause = this.every;
    let trouble = '';
    try {
      const stop = AbortSignal.timeout ? AbortSignal.timeout(8000) : undefined;
      const answer = await fetch('directory.json', { cache: 'no-store', credentials: 'omit', headers: { authorization: this.authorization }, signal: stop });
      if (answer.ok) {
        const { users } = await answer.json();
        this.people = users.filter((p) => p.user !== this.user);
      } else {
        pause = answer.status === 429 ? Math.max(1000 * Number(answer.headers.get('retry-after') || 0), SLOWER_MS) : SLOWER_MS;
        trouble = t({ 401: 'people.denied', 403: 'people.insecure', 404: 'people.absent', 429: 'people.guard' }[answer.status] || 'people.trouble');
        if (answer.status !== 429 && answer.status < 500) this.people = [];
      }
    } catch {
      // The line says already that the server is away.
    }
    this.asking = false;
    if (this.stopped) return;
    this.trouble = trouble;
    this.dispatchEvent(new Event('change'));
    this.timer = setTimeout(() => this.#ask(), pause);
  }
}
