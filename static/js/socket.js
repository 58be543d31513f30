// A websocket that comes back by itself, waiting longer after each failure.
const FIRST = 500;
const LONGEST = 30_000;

export function connect(path, { onMessage, onOpen = () => {}, onClose = () => {} }) {
  let wait = FIRST;
  let socket = null;
  let timer = 0;
  let over = false;

  function open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const address = typeof path === "function" ? path() : path;
    socket = new WebSocket(`${scheme}//${location.host}${address}`);
    socket.addEventListener("open", () => {
      wait = FIRST;
      onOpen();
    });
    socket.addEventListener("message", (event) => onMessage(JSON.parse(event.data)));
    socket.addEventListener("close", again);
  }

  function again() {
    if (over) return;
    onClose();
    timer = setTimeout(open, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST);
  }

  open();
  return () => {
    over = true;
    clearTimeout(timer);
    socket.close();
  };
}
