// ICE servers: STUN for everybody; for who has signed in a TURN server too, with credentials that are good for a while.
const AGAIN_MS = 20000;
const SLOWEST_MS = 2 ** 31 - 1;

/** `servers`: as RTCPeerConnection takes them. `ready`: when they have been asked for once, with or without success. */
export class Ice {
  constructor({ iceServers, ice }, authorization) {
    this.servers = iceServers;
    this.authorization = authorization;
    this.ready = ice ? this.#ask() : Promise.resolve();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  async #ask() {
    let pause = AGAIN_MS;
    try {
      const stop = AbortSignal.timeout ? AbortSignal.timeout(8000) : undefined;
      const answer = await fetch('ice.json', { cache: 'no-store', credentials: 'omit', headers: { authorization: this.authorization }, signal: stop });
      if (answer.ok) {
        const { iceServers, seconds } = await answer.json();
        this.servers = iceServers;
        // A call that begins now is to have them to its end.
        pause = 500 * seconds;
      } else if (answer.status === 429) {
        pause = Math.max(1000 * Number(answer.headers.get('retry-after') || 0), AGAIN_MS);
      }
    } catch {
      // The line says already that the server is away.
    }
    if (!this.stopped) this.timer = setTimeout(() => this.#ask(), Math.min(pause, SLOWEST_MS));
  }
}
