// How well a call is carried, from what the browser counts (RTCStatsReport). Pure.

// What an ear forgives (ITU-T G.113, G.114), for one direction or for both.
const WEAK = { loss: 0.015, delay: 0.3, jitter: 0.035 };
const BAD = { loss: 0.06, delay: 0.6, jitter: 0.09 };

/** What counts of the entries of a report: packets so far, and seconds. */
export function counted(entries) {
  const sum = { lost: 0, arrived: 0, jitter: 0, delay: 0, theirs: 0, at: 0 };
  entries.forEach((one) => {
    if (one.kind && one.kind !== 'audio') return;
    if (one.type === 'inbound-rtp') {
      sum.lost += one.packetsLost || 0;
      sum.arrived += one.packetsReceived || 0;
      sum.jitter = Math.max(sum.jitter, one.jitter || 0);
    }
    if (one.type === 'remote-inbound-rtp') {
      sum.delay = Math.max(sum.delay, one.roundTripTime || 0);
      sum.theirs = Math.max(sum.theirs, one.fractionLost || 0);
    }
    if (one.type === 'candidate-pair' && one.nominated) sum.delay = Math.max(sum.delay, one.currentRoundTripTime || 0);
  });
  return sum;
}

/** {grade: 'good' | 'weak' | 'bad' | 'none', loss, delay, jitter} between two counts; 'none': nothing arrives. */
export function graded(before, now) {
  const arrived = now.arrived - before.arrived;
  const lost = Math.max(0, now.lost - before.lost);
  const told = { loss: Math.max(arrived + lost ? lost / (arrived + lost) : 0, now.theirs), delay: now.delay, jitter: now.jitter };
  const over = (limit) => Object.keys(limit).some((name) => told[name] > limit[name]);
  return { ...told, grade: arrived <= 0 ? 'none' : over(BAD) ? 'bad' : over(WEAK) ? 'weak' : 'good' };
}
