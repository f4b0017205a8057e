// The last state of an instrument, put where it is kept: at once, and then only a few times a second. Chromium and Firefox
// take no more than 200 addresses of a page in 10 s, Safari 100 in 30 s, and drop the others.
const REST = 400; // milliseconds from one writing to the next

// write: puts the state away as it is when called; tell() says that there is a new one
export function keeper(write) {
  const events = [[window, "pagehide"], [window, "blur"], [document, "visibilitychange"]]; // the page is left, or its address read
  let resting = 0, isNew = false;
  function flush() {
    if (isNew) write();
    isNew = false;
  }
  function tell() {
    isNew = true;
    if (resting) return;
    flush();
    resting = setTimeout(() => {
      resting = 0;
      if (isNew) tell();
    }, REST);
  }
  function close() {
    flush();
    clearTimeout(resting);
    for (const [where, name] of events) where.removeEventListener(name, flush);
  }
  for (const [where, name] of events) where.addEventListener(name, flush);
  return { tell, close };
}
