// The screen of a guest, by noVNC.
import RFB from "@novnc/novnc";
import { Channel } from "./channel.js";
import { keysFor } from "./layouts.js";
import { run, stage } from "./session.js";

// A guest's keyboard holds 16 bytes; a slow guest takes its time to empty it.
const PACE = 25;
const SYMBOLS = { Enter: 0xff0d, Tab: 0xff09, Space: 0x20, ShiftLeft: 0xffe1, AltRight: 0xfe03 };
const KEYS = {
  "ctrl-alt-del": [["ControlLeft", 0xffe3], ["AltLeft", 0xffe9], ["Delete", 0xffff]],
  "ctrl-alt-f1": [["ControlLeft", 0xffe3], ["AltLeft", 0xffe9], ["F1", 0xffbe]],
  "ctrl-alt-f2": [["ControlLeft", 0xffe3], ["AltLeft", 0xffe9], ["F2", 0xffbf]],
  esc: [["Escape", 0xff1b]],
  tab: [["Tab", 0xff09]],
};
const EDITS = { deleteContentBackward: ["Backspace", 0xff08], insertLineBreak: ["Enter", 0xff0d], insertParagraph: ["Enter", 0xff0d] };
const root = document.querySelector("[data-console]");
const text = root.querySelector("[data-text]");
let rfb = null;
let fits = true;

const symbol = (character) => {
  const point = character.codePointAt(0);
  return point < 0x100 ? point : 0x1000000 + point;
};

function press(keys) {
  for (const [code, keysym] of keys) rfb?.sendKey(keysym, code, true);
  for (const [code, keysym] of [...keys].reverse()) rfb?.sendKey(keysym, code, false);
}

function strokes(character, layout) {
  const found = keysFor(character, layout);
  if (!found.length) return [[[null, symbol(character)]]];
  return found.map(({ code, held }) => {
    const keysym = SYMBOLS[code] ?? symbol(character);
    return [...(held ? [[held, SYMBOLS[held]]] : []), [code, keysym]];
  });
}

async function type(words, layout) {
  for (const character of words.replaceAll("\r", "")) {
    for (const keys of strokes(character, layout)) {
      press(keys);
      await new Promise((done) => { setTimeout(done, PACE); });
    }
  }
}

function open(socket) {
  const channel = new Channel(socket);
  rfb = new RFB(stage, channel, { shared: true });
  const own = rfb;
  own.scaleViewport = fits;
  own.showDotCursor = true;
  own.addEventListener("clipboard", (event) => { text.value = event.detail.text; });
  return {
    heard: (event) => channel.onmessage?.(event),
    types: (yes) => { own.viewOnly = !yes; },
    focus: () => own.focus({ preventScroll: true }),
    close: () => {
      channel.onclose?.({ code: 1000, reason: "" });
      if (rfb === own) rfb = null;
    },
  };
}

root.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]");
  if (key && KEYS[key.dataset.key]) {
    press(KEYS[key.dataset.key]);
    rfb?.focus();
  }
  if (event.target.closest("[data-fit]")) {
    fits = !fits;
    if (rfb) rfb.scaleViewport = fits;
    event.target.closest("[data-fit]").setAttribute("aria-pressed", String(fits));
  }
  if (event.target.closest("[data-type]")) {
    rfb?.clipboardPasteFrom(text.value);
    type(text.value, root.querySelector("[data-layout]").value);
  }
  if (event.target.closest("[data-keyboard]")) root.querySelector("[data-touch]").focus();
});

// The keyboard of a phone writes into a field of its own, from where it is sent on.
root.querySelector("[data-touch]").addEventListener("beforeinput", (event) => {
  event.preventDefault();
  if (EDITS[event.inputType]) press([EDITS[event.inputType]]);
  else if (event.data) type(event.data, root.querySelector("[data-layout]").value);
});

run(open);
