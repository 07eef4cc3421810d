// The call on the screen, and those that wait beside it. Nothing here knows SIP.
import { $, element, paint, rows, setIcon, setText } from './dom.js';
import { language, t } from './text.js';
import { clock } from './words.js';
import { share, Wave } from './wave.js';

const wave = new Wave($('wave'));
const BUTTONS = ['mute', 'hold', 'keys', 'camera', 'pass', 'hangup', 'reject', 'answer', 'again', 'close'];
const SHOWN = {
  preparing: ['hangup'], calling: ['hangup'], ringing: ['hangup'], incoming: ['reject', 'answer'], answering: ['hangup'],
  up: ['mute', 'hold', 'keys', 'camera', 'pass', 'hangup'], ended: ['again', 'close'],
};

export function call(current) {
  const box = $('call');
  if (!current) {
    box.hidden = true;
    box.dataset.state = 'none';
    document.body.dataset.call = 'none';
    wave.clear();
    toggleTones(false);
    togglePass(false);
    pictures(null);
    return;
  }
  const { state } = current;
  const held = state === 'up' && (current.held || current.heldByThem);
  if (box.hidden) wave.clear();
  box.hidden = false;
  box.dataset.state = state;
  document.body.dataset.call = state;
  box.classList.toggle('held', held);
  box.classList.toggle('bad', state === 'ended' && current.bad);
  const words = held ? t(current.held ? 'call.held' : 'call.heldbythem', { who: current.peer.name }) : state === 'ended' ? current.fault.title : t(`call.state.${state}`);
  setText($('call-state'), words);
  setText($('call-name'), current.peer.name);
  setText($('call-address'), current.peer.uri.replace(/^sips?:/, '').replace(/[;?].*$/, ''));
  setText($('far-label'), current.peer.name);
  paint($('call-avatar'), current.peer.name);
  for (const id of BUTTONS) $(id).hidden = !SHOWN[state].includes(id);
  $('again').hidden = state !== 'ended' || !current.peer.uri;
  setText($('hangup').querySelector('.word'), t(state === 'up' || state === 'answering' ? 'hangup' : 'cancel'));
  $('mute').setAttribute('aria-pressed', String(current.muted));
  setText($('mute').querySelector('.word'), t(current.muted ? 'unmute' : 'mute'));
  setIcon($('mute'), current.muted ? 'micoff' : 'mic');
  $('hold').setAttribute('aria-pressed', String(current.held));
  $('hold').setAttribute('aria-busy', String(current.waiting));
  setText($('hold').querySelector('.word'), t(current.waiting ? 'waits' : current.held ? 'resume' : 'hold'));
  setIcon($('hold'), current.held ? 'resume' : 'hold');
  const filmed = Boolean(current.picture.mine);
  $('camera').setAttribute('aria-pressed', String(filmed));
  $('camera').setAttribute('aria-busy', String(current.picture.busy));
  setIcon($('camera'), filmed ? 'camoff' : 'cam');
  setText($('camera').querySelector('.word'), t(filmed ? 'camera.off' : 'camera.on'));
  $('pass').setAttribute('aria-busy', String(current.passing));
  setText($('tones-sent'), current.sent);
  pictures(current);
  quality(state === 'up' ? current.quality : null);
  $('wire').hidden = !(state === 'up' || current.early);
  if (state !== 'up') { toggleTones(false); togglePass(false); }
  const note = state === 'ended' ? (current.fault.text ? current.fault : null) : current.offer || current.note;
  $('offer').hidden = !(current.offer && current.live);
  $('call-note').hidden = !note;
  $('call-note').classList.toggle('bad', Boolean(note) && (state !== 'ended' || current.bad));
  if (note) {
    setText($('call-note-title'), state === 'ended' ? '' : note.title);
    setText($('call-note-text'), note.text);
  }
  tick(current);
}

export function tick(current) {
  setText($('call-clock'), current.since ? clock(current.seconds) : '');
}

export function toggleTones(open) {
  $('tones').hidden = !open;
  $('keys').setAttribute('aria-expanded', String(open));
}

/** The panel for handing a call over. */
export function togglePass(open) {
  $('passing').hidden = !open;
  $('pass').setAttribute('aria-expanded', String(open));
  if (open) $('pass-to').value = '';
}

/** Calls beside the one on the screen: who waits, and the way to them. */
export function waiting(list, current, turnTo) {
  rows($('waiting'), list.map((call) => ({ call, key: `${call.when} ${call.peer.uri}` })), ({ call }) => {
    const item = element('li', 'wait');
    const text = element('span', 'row-text');
    text.append(element('b', '', call.peer.name), element('span', 'row-state'));
    const take = element('button', 'small take');
    const end = element('button', 'small end');
    for (const button of [take, end]) button.type = 'button';
    take.addEventListener('click', () => turnTo(call));
    end.addEventListener('click', () => call.hangup(603));
    const both = element('span', 'choices');
    both.append(take, end);
    item.append(text, both);
    return item;
  }, (node, { call }) => {
    const comes = call.state === 'incoming';
    const what = call.offer ? 'waiting.offer' : comes ? 'waiting.incoming' : call.held ? 'call.held' : `call.state.${call.state}`;
    node.classList.toggle('comes', comes);
    setText(node.querySelector('.row-state'), t(what));
    for (const [name, words] of [['take', comes ? 'waiting.take' : 'waiting.turn'], ['end', comes ? 'reject' : 'hangup']]) {
      const button = node.querySelector(`.${name}`);
      setText(button, t(words));
      button.setAttribute('aria-label', `${t(words)}: ${call.peer.name}`);
    }
  });
  $('waiting').hidden = !list.length;
  const other = list.find((one) => one.state === 'up');
  $('pass-join').hidden = !other;
  if (other && current) setText($('pass-join'), t('pass.join', { who: current.peer.name, name: other.peer.name }));
}

/** Their picture in the place of their letters, and ours small beside it. */
function pictures(current) {
  const { mine, theirs } = (current && current.live && current.picture) || {};
  for (const [id, track] of [['picture-mine', mine], ['picture-theirs', theirs]]) {
    const film = $(id);
    film.hidden = !track;
    const [shown] = film.srcObject ? film.srcObject.getTracks() : [];
    if (shown !== (track || undefined)) film.srcObject = track ? new MediaStream([track]) : null;
  }
  $('call').classList.toggle('film', Boolean(theirs));
  $('pictures').hidden = !mine && !theirs;
}

/** How well it is carried; null: nothing is said. */
function quality(told) {
  const box = $('quality');
  box.hidden = !told || told.grade === 'none';
  if (box.hidden) return;
  box.dataset.grade = told.grade;
  setText($('quality-text'), t(`quality.${told.grade}`));
  const number = (value, digits) => new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);
  box.title = t('quality.title', { loss: number(100 * told.loss, 1), delay: number(1000 * told.delay, 0), jitter: number(1000 * told.jitter, 0) });
}

let spoken = 0;
export function sound(now, levels) {
  const far = share(levels.heard.db);
  const near = share(levels.sent.db);
  wave.push(now, far, near);
  wave.draw();
  $('call').style.setProperty('--loud', far.toFixed(3));
  if (now - spoken > 500) {
    spoken = now;
    $('meter-far').setAttribute('aria-valuenow', String(Math.max(-60, Math.round(levels.heard.db))));
    $('meter-near').setAttribute('aria-valuenow', String(Math.max(-60, Math.round(levels.sent.db))));
  }
}
