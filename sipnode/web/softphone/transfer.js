// Handing a call over (RFC 5589): REFER within it, and what its NOTIFYs tell of the new one (RFC 3515).

// Who was asked to call somebody else may let it ring as long as a proxy does.
const PATIENCE_MS = 190000;

/**
 * A call of ours as Replaces names it (RFC 3891 §3): the tags as they are for the other side, which is "to". In the shape that JsSIP asks for;
 * given a session itself, it has the tags of a call that came in the wrong way round.
 */
export function ends(session) {
  const theirs = session.direction === 'outgoing' ? session._to_tag : session._from_tag;
  const ours = session.direction === 'outgoing' ? session._from_tag : session._to_tag;
  return { _request: session._request, _to_tag: theirs, _from_tag: ours };
}

/** Ask the other side of `call` to call `uri`, in the place of a call (see ends) or null; resolves with the status that came of it, 0 for none. */
export function refer(call, uri, replaces) {
  return new Promise((resolve) => {
    let timer = 0;
    const done = (status) => { clearTimeout(timer); call.removeEventListener('end', gone); resolve(status); };
    const gone = () => done(0);
    let asked = false;
    // It throws for what isn't an address.
    try { asked = call.session.refer(uri, replaces ? { replaces } : {}); } catch { /* as when it can't */ }
    if (!asked) { done(0); return; }
    timer = setTimeout(gone, PATIENCE_MS);
    call.addEventListener('end', gone);
    asked.on('requestFailed', ({ response }) => done(response ? response.status_code : 0));
    asked.on('accepted', ({ status_line: line }) => done(line.status_code));
    asked.on('failed', ({ status_line: line }) => done(line.status_code));
  });
}
