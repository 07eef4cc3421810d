// Everything that sounds: tones, the microphone, the far side, through which device, and how loud.

const FFT = 8192;
const Context = window.AudioContext || window.webkitAudioContext;
// The ringer may be another device than the speaker: a headset lies on the table while it rings.
const mouths = {};
const tuned = { speaker: '', ringer: '', volume: 1, ringVolume: 1 };
const voices = new Set();

/** What a browser lets a page choose. */
export const chooses = { speaker: 'setSinkId' in HTMLMediaElement.prototype, ringer: Boolean(Context) && 'setSinkId' in Context.prototype };

function mouth(name) {
  if (!mouths[name]) {
    const context = new Context({ latencyHint: 'interactive' });
    const out = context.createGain();
    out.connect(context.destination);
    mouths[name] = { context, out, sink: '' };
    adjust(name);
  }
  return mouths[name];
}
function adjust(name) {
  const one = mouths[name];
  if (!one) return;
  one.out.gain.value = name === 'ringer' ? tuned.ringVolume : tuned.volume;
  if (chooses.ringer && one.sink !== tuned[name]) {
    one.sink = tuned[name];
    // A device that is gone: the sound stays where the browser puts it.
    one.context.setSinkId(one.sink).catch(() => { one.sink = ''; });
  }
}
function adjustVoice(element) {
  element.volume = tuned.volume;
  if (chooses.speaker && element.sinkId !== tuned.speaker) element.setSinkId(tuned.speaker).catch(() => {});
}

/** From now on: {speaker, ringer} as device ids, '' for the browser's choice; {volume, ringVolume} from 0 to 1. */
export function tune(wish) {
  for (const name of Object.keys(tuned)) if (name in wish) tuned[name] = typeof tuned[name] === 'number' ? Math.min(1, Math.max(0, Number(wish[name]) || 0)) : String(wish[name]);
  for (const name of ['speaker', 'ringer']) adjust(name);
  voices.forEach(adjustVoice);
}

/** A media element for the other side of a call; silence() when it is over. */
export function voice() {
  const element = document.createElement('audio');
  element.autoplay = true;
  document.body.append(element);
  voices.add(element);
  adjustVoice(element);
  return element;
}
export function silence(element) {
  element.srcObject = null;
  element.remove();
  voices.delete(element);
}
/** Whom the browser kept silent. */
export const wake = () => voices.forEach((element) => { if (element.srcObject && element.paused) element.play().catch(() => {}); });

/** {speaker, ringer}: where tones come out now. */
export const sinks = () => Object.fromEntries(['speaker', 'ringer'].map((name) => [name, mouth(name).context.sinkId || '']));

export const audio = () => mouth('speaker').context;

/** Browsers give no sound to a page that nobody has touched; this asks again. */
export async function unlock() {
  const all = [mouth('speaker').context, mouth('ringer').context];
  // resume() of an untouched page neither settles nor fails.
  if (!unlocked()) await Promise.race([Promise.all(all.map((one) => one.resume().catch(() => {}))), new Promise((r) => { setTimeout(r, 150); })]);
  return unlocked();
}
export const unlocked = () => ['speaker', 'ringer'].every((name) => mouths[name] && mouths[name].context.state === 'running');

// ---- tones, written into the future of the audio clock, so that a hidden tab with slow timers still rings in time

function note(out, frequency, at, length, volume, kind = 'sine') {
  const ctx = out.context;
  const osc = ctx.createOscillator();
  const gain = ctx.createGain();
  osc.type = kind;
  osc.frequency.value = frequency;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(volume, at + 0.012);
  gain.gain.setTargetAtTime(0, at + length * 0.35, length * 0.22);
  osc.connect(gain).connect(out);
  osc.start(at);
  osc.stop(at + length + 0.4);
}

function beep(out, frequencies, at, length, volume) {
  const ctx = out.context;
  for (const frequency of frequencies) {
    const osc = ctx.createOscillator();
    const gain = ctx.createGain();
    osc.frequency.value = frequency;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(volume, at + 0.015);
    gain.gain.setValueAtTime(volume, at + length - 0.02);
    gain.gain.linearRampToValueAtTime(0, at + length);
    osc.connect(gain).connect(out);
    osc.start(at);
    osc.stop(at + length + 0.05);
  }
}

let playing = null;
/** 'ring' for a call that comes in, 'waiting' for one beside a call, 'ringback' for one that goes out, null for silence. Lasts two minutes at most. */
export function play(what) {
  if (playing && playing.what === what) return;
  if (playing) {
    const { out } = playing;
    out.gain.setTargetAtTime(0, out.context.currentTime, 0.02);
    setTimeout(() => out.disconnect(), 200);
    playing = null;
  }
  if (!what) return;
  unlock();
  const out = branch(what === 'ring' ? 'ringer' : 'speaker');
  playing = { what, out };
  const start = out.context.currentTime + 0.05;
  if (what === 'waiting') for (let i = 0; i < 24; i += 1) for (const at of [0, 0.25]) beep(out, [425], start + i * 5 + at, 0.15, 0.05);
  if (what === 'ringback') for (let i = 0; i < 30; i += 1) beep(out, [425], start + i * 4, 1, 0.09);
  if (what === 'ring') {
    const phrase = [[659.26, 0], [830.61, 0.16], [987.77, 0.32], [830.61, 0.56], [987.77, 0.72]];
    for (let i = 0; i < 40; i += 1) {
      for (const [frequency, at] of phrase) {
        note(out, frequency, start + i * 3 + at, 0.55, 0.2);
        note(out, frequency * 2, start + i * 3 + at, 0.3, 0.05);
      }
    }
  }
}
export const playingNow = () => (playing ? playing.what : null);
function branch(name) {
  const { context, out } = mouth(name);
  const made = context.createGain();
  made.connect(out);
  return made;
}

const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477];
const KEYS = '123456789*0#';
/** The tone of a key, for the ear of who presses it. */
export function keyTone(key) {
  const at = KEYS.indexOf(key);
  if (at < 0) return;
  unlock();
  const out = branch('speaker');
  beep(out, [ROWS[Math.floor(at / 3)], COLUMNS[at % 3]], out.context.currentTime + 0.01, 0.12, 0.06);
  setTimeout(() => out.disconnect(), 600);
}
/** Three falling notes: it didn't work; two: it is over. */
export function farewell(bad) {
  unlock();
  const out = branch('speaker');
  const at = out.context.currentTime + 0.02;
  (bad ? [440, 392, 330] : [523, 392]).forEach((frequency, i) => note(out, frequency, at + i * 0.17, 0.3, 0.12));
  setTimeout(() => out.disconnect(), 1500);
}

// ---- where our own sound comes from

/** A stream to send; throws what getUserMedia throws, or an error named Insecure. */
export async function microphone(device) {
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) {
    throw Object.assign(new Error('no mediaDevices'), { name: 'Insecure' });
  }
  const wish = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (device) wish.deviceId = { exact: device };
  return navigator.mediaDevices.getUserMedia({ audio: wish });
}

/** A picture to send; throws as microphone() does. */
export async function camera() {
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) throw Object.assign(new Error('no mediaDevices'), { name: 'Insecure' });
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { max: 30 } } });
  return stream.getVideoTracks()[0];
}

/** {microphones, speakers} to choose from, as [{id, name}]; names are there once a microphone was allowed. */
export async function devices() {
  if (!navigator.mediaDevices || !navigator.mediaDevices.enumerateDevices) return { microphones: [], speakers: [] };
  const all = await navigator.mediaDevices.enumerateDevices();
  const of = (kind) => all.filter((d) => d.kind === kind && d.deviceId && d.deviceId !== 'default').map((d, i) => ({ id: d.deviceId, name: d.label || `${i + 1}` }));
  return { microphones: of('audioinput'), speakers: of('audiooutput') };
}

// ---- how loud, and which pitch

export class Ear {
  constructor(stream) {
    const ctx = audio();
    this.source = ctx.createMediaStreamSource(stream);
    this.analyser = ctx.createAnalyser();
    this.analyser.fftSize = FFT;
    this.analyser.smoothingTimeConstant = 0;
    this.source.connect(this.analyser);
    this.time = new Float32Array(FFT);
    this.bins = new Float32Array(FFT / 2);
  }

  /** RMS of the last 43 ms, dB below full scale; -100 for silence. */
  db() {
    this.analyser.getFloatTimeDomainData(this.time);
    let sum = 0;
    for (let i = FFT - 2048; i < FFT; i += 1) sum += this.time[i] * this.time[i];
    return sum > 0 ? Math.max(-100, 10 * Math.log10(sum / 2048)) : -100;
  }

  /** The loudest pitch, Hz, between the bins by a parabola; 0 for silence. */
  hz() {
    this.analyser.getFloatFrequencyData(this.bins);
    const b = this.bins;
    let k = 3;
    for (let i = 3; i < b.length - 1; i += 1) if (b[i] > b[k]) k = i;
    if (!(b[k] > -100)) return 0;
    const shape = b[k - 1] - 2 * b[k] + b[k + 1];
    const shift = shape ? 0.5 * (b[k - 1] - b[k + 1]) / shape : 0;
    return (k + shift) * audio().sampleRate / FFT;
  }

  close() { this.source.disconnect(); }
}
