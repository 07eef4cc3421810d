// What every part of the page is made with. Text from the wire goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

export const $ = (id) => document.getElementById(id);

/** An element: attributes, "class" among them; functions become listeners; children are nodes or texts. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== undefined && child !== null && child !== false) node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export const replace = (node, ...children) => node.replaceChildren(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));

export function say(text) { $('said').textContent = text; }

// -- times

const two = (value) => String(value).padStart(2, '0');

/** 14:03:22 of epoch seconds; with its date where it isn't of today. */
export function clock(seconds) {
  const when = new Date(seconds * 1000);
  const time = `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  return new Date().toDateString() === when.toDateString() ? time : `${day} ${time}`;
}

/** The same in few letters: of another day without its year and seconds. */
export const brief = (seconds) => (clock(seconds).length > 8 ? clock(seconds).slice(5, -3) : clock(seconds));

/** 12 ms, 3.20 s, 2:05, 3 h 12 min, 14 d. */
export function span(seconds) {
  if (seconds < 0) return '';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(Math.floor(seconds % 60))}`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}
