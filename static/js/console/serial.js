// The serial line of a guest, by xterm.js.
import "./styles.js";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { run, stage } from "./session.js";

const KEYS = { esc: "\x1b", tab: "\t", "ctrl-c": "\x03", "ctrl-d": "\x04", up: "\x1b[A", down: "\x1b[B" };
const root = document.querySelector("[data-console]");
const encoder = new TextEncoder();
const fit = new FitAddon();
const terminal = new Terminal({
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
  fontSize: 14,
  scrollback: 10_000,
  theme: { background: "#0d1117", foreground: "#e6edf3", cursor: "#8adeea" },
});
let socket = null;

const send = (bytes) => { if (socket?.readyState === WebSocket.OPEN) socket.send(bytes); };

terminal.loadAddon(fit);
terminal.open(stage);
terminal.onData((data) => send(encoder.encode(data)));
terminal.onBinary((data) => send(Uint8Array.from(data, (character) => character.charCodeAt(0))));
new ResizeObserver(() => fit.fit()).observe(stage);

function open(opened) {
  socket = opened;
  terminal.reset();
  return {
    heard: (event) => terminal.write(new Uint8Array(event.data)),
    types: (yes) => { terminal.options.disableStdin = !yes; },
    focus: () => terminal.focus(),
    close: () => { terminal.options.disableStdin = true; },
  };
}

root.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]");
  if (!key) return;
  send(encoder.encode(KEYS[key.dataset.key]));
  terminal.focus();
});

run(open);
