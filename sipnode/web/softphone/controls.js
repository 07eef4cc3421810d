// Buttons, fields and keys: which of the telephone's deeds each one is.
import * as links from './links.js';
import * as sound from './sound.js';
import * as view from './view.js';

const { $ } = view;

/** `phone`: the deeds and the state of app.js. */
export function wire(phone) {
  const { settings } = phone;
  view.pad($('pad'), phone.pressDial);
  view.pad($('tone-pad'), phone.pressTone);
  // A key that is held down since another page neither signs in nor dials here.
  for (const id of ['signin-form', 'dial-form']) $(id).addEventListener('keydown', (event) => { if (event.repeat && (event.key === 'Enter' || event.key === ' ')) event.preventDefault(); });
  $('signin-form').addEventListener('submit', (event) => {
    event.preventDefault();
    phone.signIn({ user: $('user').value, password: $('password').value, remember: $('remember').checked });
  });
  $('reveal').addEventListener('click', () => {
    const shown = $('password').type === 'text';
    $('password').type = shown ? 'password' : 'text';
    $('reveal').setAttribute('aria-pressed', String(!shown));
  });
  $('user').addEventListener('input', () => { $('user-domain').hidden = $('user').value.includes('@'); });
  $('dial-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (phone.dial($('address').value)) { $('address').value = ''; phone.showPeople(); }
  });
  $('address').addEventListener('input', phone.showPeople);
  $('erase').addEventListener('click', () => { $('address').value = $('address').value.slice(0, -1); phone.showPeople(); });
  for (const button of document.querySelectorAll('[data-tab]')) button.addEventListener('click', () => view.tab(button.dataset.tab));
  const mine = () => phone.setMine($('my-state').value, $('my-note').value);
  for (const id of ['my-state', 'my-note']) $(id).addEventListener('change', mine);
  $('answer').addEventListener('click', () => { sound.unlock(); if (phone.call) phone.call.answer(); });
  $('reject').addEventListener('click', () => { if (phone.call) phone.call.hangup(603); });
  $('hangup').addEventListener('click', () => { if (phone.call) phone.call.hangup(); });
  $('mute').addEventListener('click', () => { if (phone.call) phone.call.mute(); });
  $('hold').addEventListener('click', () => { if (phone.call) phone.call.hold(); });
  $('camera').addEventListener('click', () => { if (phone.call) phone.call.camera(); });
  $('pass').addEventListener('click', () => {
    view.togglePass($('passing').hidden);
    if (!$('passing').hidden) { view.toggleTones(false); $('pass-to').focus(); }
  });
  $('pass-form').addEventListener('submit', (event) => { event.preventDefault(); if ($('pass-to').value.trim()) phone.pass($('pass-to').value); });
  $('pass-ask').addEventListener('click', () => { const to = $('pass-to').value; if (to.trim()) { view.togglePass(false); phone.dial(to); } });
  $('pass-join').addEventListener('click', () => phone.pass(''));
  $('offer-yes').addEventListener('click', () => phone.calls.decide(true));
  $('offer-no').addEventListener('click', () => phone.calls.decide(false));
  $('keys').addEventListener('click', () => {
    const open = $('tones').hidden;
    view.toggleTones(open);
    if (open) view.togglePass(false);
    if (open) $('tone-pad').querySelector('[tabindex="0"]').focus();
  });
  $('again').addEventListener('click', () => { const { peer } = phone.call; phone.clearCall(); phone.dial(peer.uri, peer.name); });
  $('close').addEventListener('click', () => phone.clearCall());
  $('forget').addEventListener('click', phone.forgetRecent);
  $('settings-button').addEventListener('click', () => phone.toggleSettings($('settings').hidden));
  $('signout').addEventListener('click', phone.signOut);
  $('ring-on').checked = settings.ring;
  $('notify-on').checked = settings.notify;
  $('ring-on').addEventListener('change', () => { settings.ring = $('ring-on').checked; phone.tuned(); });
  for (const [id, name] of [['microphone', 'device'], ['speaker', 'speaker'], ['ringer', 'ringer']]) {
    $(id).addEventListener('change', () => { settings[name] = $(id).value; phone.tuned(); });
  }
  for (const [id, name] of [['volume', 'volume'], ['ring-volume', 'ringVolume']]) {
    $(id).value = String(Math.round(100 * settings[name]));
    $(id).addEventListener('input', () => { settings[name] = Number($(id).value) / 100; phone.tuned(); });
  }
  for (const name of ['speaker', 'ringer']) $(`${name}-field`).hidden = !sound.chooses[name];
  $('language').value = settings.language;
  $('language').addEventListener('change', () => { settings.language = $('language').value; phone.tuned(); phone.translate(); phone.toggleSettings(true); });
  $('tel').hidden = !navigator.registerProtocolHandler;
  $('tel').addEventListener('click', links.offer);
  $('notify-on').addEventListener('change', async () => {
    const wanted = $('notify-on').checked && window.Notification ? await Notification.requestPermission() === 'granted' : false;
    settings.notify = wanted;
    $('notify-on').checked = wanted;
    phone.tuned();
  });
  document.addEventListener('pointerdown', (event) => {
    phone.wakeSound();
    if (!$('settings').hidden && !event.target.closest('#settings, #settings-button')) phone.toggleSettings(false);
  });
  document.addEventListener('keydown', (event) => {
    if (!sound.unlocked()) phone.wakeSound();
    phone.typedAt = performance.now();
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === 'Escape') {
      if (!$('settings').hidden) { phone.toggleSettings(false); $('settings-button').focus(); } else if (phone.call && !phone.call.live) phone.clearCall();
      else if (phone.call && !$('tones').hidden) { view.toggleTones(false); $('keys').focus(); }
      else if (phone.call && !$('passing').hidden) { view.togglePass(false); $('pass').focus(); }
      return;
    }
    if (typing || document.body.dataset.screen !== 'phone') return;
    if (/^[0-9*#]$/.test(event.key)) {
      if (phone.call && phone.call.state === 'up') phone.pressTone(event.key);
      else if (!phone.calls.busy) phone.pressDial(event.key);
    } else if (phone.call && phone.call.state === 'up' && $('call').contains(document.activeElement)) {
      // Single letters count only while the focus is in the call (WCAG 2.1.4).
      if (event.key === 'm') phone.call.mute();
      if (event.key === 'h') phone.call.hold();
    }
  });
  window.addEventListener('beforeunload', (event) => { if (phone.calls.all.some((one) => one.state === 'up')) event.preventDefault(); });
  // Loaded anew, the page goes on with the calls that it has written down; a tab that is gone for good is one that never comes back.
  window.addEventListener('pagehide', () => { const kept = phone.keepCalls(); for (const one of phone.calls.all) if (!kept || !one.kept) one.hangup(); });
  if (navigator.mediaDevices) navigator.mediaDevices.addEventListener('devicechange', () => { if (!$('settings').hidden) phone.toggleSettings(true); });
}
