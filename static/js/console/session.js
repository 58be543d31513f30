// A console from the ticket to its end, and what the page says of it. `[data-console]` holds it all;
// its `data-shows` is one of connecting, open, off, lost, refused.
const AGAIN = [500, 1000, 2000, 4000, 8000];
const STOPPED = new Set(["off", "crashed", "saved"]);

const root = document.querySelector("[data-console]");
const part = (name) => root.querySelector(`[data-${name}]`);
const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;

export const stage = part("stage");

function post(url, fields) {
  const body = new URLSearchParams({ csrfmiddlewaretoken: token(), ...fields });
  return fetch(url, { method: "POST", body, redirect: "manual" });
}

// `viewer.open(socket)` makes a viewer with `heard(buffer)`, `types(yes)`, `focus()` and `close()`.
export function run(open) {
  let socket = null;
  let viewer = null;
  let console_ = "";
  let ended = null;
  let failures = 0;
  let timer = 0;
  let typed = false;

  const power = () => document.getElementById("console-vm")?.dataset.power ?? "";

  function show(state, message = "", remedy = "") {
    root.dataset.shows = state;
    part("message").textContent = message;
    part("remedy").textContent = remedy;
    for (const note of root.querySelectorAll("[data-when]")) {
      note.hidden = !note.dataset.when.split(" ").includes(state);
    }
    for (const button of root.querySelectorAll("[data-needs-keys]")) button.disabled = state !== "open" || !typed;
  }

  async function connect() {
    clearTimeout(timer);
    if (socket) return;
    show("connecting");
    const answer = await post(root.dataset.ticketUrl, { kind: root.dataset.console }).catch(() => null);
    if (!answer) return lost();
    if (answer.type === "opaqueredirect") return location.reload();
    const said = await answer.json().catch(() => ({}));
    if (said.socket) return dial(said.socket);
    if (said.code === "vm_off") return show("off");
    if (answer.status >= 500) return lost();
    return show("refused", said.message || "The console was not opened.", said.remedy);
  }

  function dial(path) {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    ended = null;
    socket = new WebSocket(`${scheme}//${location.host}${path}`);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => {
      if (typeof event.data === "string") told(JSON.parse(event.data));
      else heard(event);
    });
    socket.addEventListener("close", closed);
  }

  function heard(event) {
    if (!viewer) {
      viewer = open(socket);
      viewer.types(typed);
      failures = 0;
      show("open");
      viewer.focus();
    }
    viewer.heard(event);
  }

  function told(words) {
    if (words.type === "ended") {
      ended = words;
      return;
    }
    console_ = words.console;
    const lostKeys = typed && !words.types;
    typed = words.types;
    viewer?.types(typed);
    people(words, lostKeys);
    show(root.dataset.shows, part("message").textContent, part("remedy").textContent);
  }

  function people({ people: there, types, may_take: mayTake }, lostKeys) {
    const typing = there.find((one) => one.types);
    const others = there.filter((one) => one.console !== console_).map((one) => one.name);
    const words = [];
    if (types) words.push("You type.");
    else if (typing) words.push(lostKeys ? `${typing.name} took over and types now; you look on.` : `${typing.name} types; you look on.`);
    else words.push("Nobody types; you look on.");
    if (others.length) words.push(`Also here: ${others.join(", ")}.`);
    if (!mayTake) words.push("You may not change this VM.");
    part("people").textContent = words.join(" ");
    part("take").hidden = types || !mayTake;
  }

  function closed() {
    socket = null;
    viewer?.close();
    viewer = null;
    part("people").textContent = "";
    part("take").hidden = true;
    const why = ended?.why ?? "lost";
    if (why === "signed_out") location.reload();
    else if (why === "guest_ended" || why === "vm_off") gone();
    else if (why === "lost" || why === "line_lost") lost();
    else show("refused", ended.message, ended.remedy);
  }

  // A guest that restarts is back in a moment; the panel may not have heard yet that it has gone.
  function gone() {
    show("off");
    timer = setTimeout(() => { if (!STOPPED.has(power())) connect(); }, 3000);
  }

  function lost() {
    const wait = AGAIN[failures];
    failures += 1;
    if (wait === undefined) {
      failures = 0;
      return show("lost", "The connection was lost.", "What runs in the guest goes on.");
    }
    show("connecting");
    timer = setTimeout(connect, wait);
  }

  root.addEventListener("click", (event) => {
    if (event.target.closest("[data-again]")) connect();
    if (event.target.closest("[data-take]")) post(root.dataset.takeUrl, { console: console_ });
    if (event.target.closest("[data-full]")) fullScreen();
  });

  // Power actions of the page's head and of the stage keep the page where it is.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-console-power]")) return;
    event.preventDefault();
    event.stopPropagation();
    post(event.target.action, { power: event.submitter.value });
  }, true);

  document.addEventListener("refreshed", () => {
    if (root.dataset.shows === "off" && power() === "running") connect();
  });
  addEventListener("pagehide", () => socket?.close());
  connect();
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else root.requestFullscreen?.();
}
