// The language of the page: every word comes from words.json, by its key.
import WORDS from './words.json';

export const LANGUAGES = ['en', 'de'];
let chosen = 'en';

/** A language of ours for one wish or for what the browser's user reads; '' or one that we don't have: the browser's. */
export function speak(wish) {
  const wanted = [wish, ...(navigator.languages || [])].map((one) => String(one || '').slice(0, 2).toLowerCase());
  chosen = wanted.find((one) => LANGUAGES.includes(one)) || 'en';
  document.documentElement.lang = chosen;
  for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll('[data-t-label]')) node.setAttribute('aria-label', t(node.dataset.tLabel));
  for (const node of document.querySelectorAll('[data-t-hint]')) node.setAttribute('placeholder', t(node.dataset.tHint));
}
export const language = () => chosen;

/** The words of a key, with `{name}` put in for each name of `values`. */
export function t(key, values = {}) {
  const words = WORDS[key] ? WORDS[key][chosen] : key;
  return words.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** {title, text} of `key.title` and `key.text`; a text that isn't there is ''. */
export function fault(key, values) {
  return { title: t(`${key}.title`, values), text: WORDS[`${key}.text`] ? t(`${key}.text`, values) : '' };
}
