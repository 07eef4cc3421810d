// What the page asks the server.

let proof = '';

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** A Call-ID for an address. Octets that were no UTF-8 come as lone surrogates U+DC80 to U+DCFF, and go back as they were. */
export function encode(text) {
  let found = '';
  for (const char of text) {
    const code = char.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) found += `%${(code - 0xdc00).toString(16)}`;
    else if (code < 0xd800 || code > 0xdfff) found += encodeURIComponent(char);
  }
  return found;
}

/** The other way, for the part behind "#". */
export function decode(text) {
  try { return decodeURIComponent(text); } catch { /* octets that are no UTF-8 */ }
  return text.replace(/%([0-9a-f]{2})/gi, (_, digits) => {
    const code = parseInt(digits, 16);
    return String.fromCharCode(code < 0x80 ? code : 0xdc00 + code);
  });
}

async function answered(response) {
  let told = {};
  try { told = await response.json(); } catch { /* not ours */ }
  if (!response.ok) throw new Refused(response.status, told.error || `The server answered ${response.status}.`);
  return told;
}

export async function get(name, parameters = {}) {
  const query = Object.entries(parameters).map(([key, value]) => `${key}=${encode(String(value))}`).join('&');
  return answered(await fetch(`api/${name}${query ? `?${query}` : ''}`, { cache: 'no-store' }));
}

export async function post(name, value = {}) {
  const headers = { 'content-type': 'application/json', 'x-sipnode-proof': proof };
  return answered(await fetch(`api/${name}`, { method: 'POST', headers, body: JSON.stringify(value) }));
}

export function keepProof(told) { proof = told.proof; return told; }

/** An admin's deed, by a method of the RPC. */
export async function act(method, params) {
  const answer = await post('act', { method, params });
  if (answer.error) throw new Refused(answer.error.code, answer.error.message);
  return answer.result;
}
