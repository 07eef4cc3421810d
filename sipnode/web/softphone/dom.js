// What every part of the screen is made with.

const SVG = 'http://www.w3.org/2000/svg';

export const $ = (id) => document.getElementById(id);

export function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}
export const setIcon = (holder, name) => holder.querySelector('use').setAttribute('href', `#i-${name}`);
export function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

/** One of eight colours, the same for a name at every place and time. */
export function paint(avatar, name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 9973;
  avatar.dataset.paint = String(sum % 8);
  const parts = name.split(/[\s._-]+/).filter(Boolean);
  const letters = parts.length > 1 ? parts[0][0] + parts[1][0] : (Array.from(name).slice(0, 1).join('') || '?');
  setText(avatar, letters.toUpperCase());
}

/** Rows that are the same stay the same nodes, so that focus and screen readers stay where they are. */
export function rows(list, items, make, update) {
  const old = new Map(Array.from(list.children, (node) => [node.dataset.key, node]));
  let before = list.firstElementChild;
  for (const item of items) {
    let node = old.get(item.key);
    if (node) old.delete(item.key); else { node = make(item); node.dataset.key = item.key; }
    update(node, item);
    if (node === before) before = before.nextElementSibling; else list.insertBefore(node, before);
  }
  for (const node of old.values()) node.remove();
}
