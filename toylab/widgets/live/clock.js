// What runs by itself: `tick` once a frame of the screen, between two presses of its button.

// words: on the button while it stands and while it runs; onStop: called when it is stopped
export function clock(button, [stands, runs], tick, onStop) {
  let request = 0;
  const made = { running: false, set };
  const frame = () => {
    tick();
    if (made.running) request = requestAnimationFrame(frame);
  };
  function set(now) {
    made.running = now;
    button.textContent = now ? runs : stands;
    button.setAttribute("aria-pressed", now);
    cancelAnimationFrame(request);
    if (now) request = requestAnimationFrame(frame);
    else onStop();
  }
  return made;
}

// whether an instrument may move by itself, without being asked to
export const mayMove = () => !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
