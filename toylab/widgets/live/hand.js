// The hand on a plane: the main button of a mouse, a pen, or one finger, each kept to the picture.
//
// A finger that goes up or down scrolls the page, unless it holds something; going sideways it draws, and a tap is a click.
const SLOP = 10; // pixels that a finger may move in a tap

// page: what the plane is a part of; does: {press, move: told a place; lift; cancel: what was done is to be undone;
// holds: place -> whether a finger takes hold of something there}
export function listenToHand(plane, page, { press, move, lift = () => {}, cancel, holds = () => false }) {
  const { canvas } = plane;
  let hand = null; // {id, from: [x, y] of the pointer, place, begun}
  function begin() {
    hand.begun = true;
    canvas.setPointerCapture(hand.id);
    for (const part of page.children) part.style.minHeight = `${part.getBoundingClientRect().height}px`; // the picture is not to move under the hand
    press(hand.place);
  }
  function end() {
    hand = null;
    for (const part of page.children) part.style.minHeight = "";
  }
  canvas.addEventListener("touchstart", (event) => {
    if (holds(plane.place(event.touches[0]))) event.preventDefault(); // or the browser would scroll
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (hand || !event.isPrimary || event.button !== 0) return;
    hand = { id: event.pointerId, from: [event.clientX, event.clientY], place: plane.place(event), begun: false };
    if (event.pointerType !== "touch" || holds(hand.place)) begin();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== hand?.id) return;
    const across = Math.abs(event.clientX - hand.from[0]), along = Math.abs(event.clientY - hand.from[1]);
    if (!hand.begun && Math.max(across, along) < SLOP) return;
    if (!hand.begun && along > across) end();
    else {
      if (!hand.begun) begin();
      move(plane.place(event));
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (event.pointerId !== hand?.id) return;
    if (!hand.begun) begin();
    lift();
    end();
  });
  canvas.addEventListener("pointercancel", (event) => {
    if (event.pointerId !== hand?.id) return;
    if (hand.begun) cancel();
    end();
  });
}
