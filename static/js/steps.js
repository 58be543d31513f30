// A job's steps as they happen: `<ol data-job="uuid" data-after="seq">` gets what its socket says.
import { refreshAll } from "./live.js";
import { connect } from "./socket.js";

const open = new Map();

function list(job) {
  return document.querySelector(`[data-job="${job}"]`);
}

function line(steps, key) {
  const known = [...steps.children].find((item) => item.dataset.key === key);
  if (known) return known;
  const made = steps.parentElement.querySelector("template").content.firstElementChild.cloneNode(true);
  made.dataset.key = key;
  steps.append(made);
  return made;
}

// Nothing for a step that was reported once, when it was done.
function words(milliseconds) {
  if (milliseconds <= 0) return "";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

function show(job, { seq, key, sentence, state, percent, at }) {
  const steps = list(job);
  if (!steps || seq <= Number(steps.dataset.after)) return;
  steps.dataset.after = seq;
  const item = line(steps, key);
  item.dataset.state = state;
  item.dataset.started ||= at;
  item.querySelector("[data-sentence]").textContent = sentence;
  item.querySelector("[data-state]").textContent = { done: "Done", failed: "Failed" }[state] || "Under way";
  const bar = item.querySelector("progress");
  bar.hidden = percent === null || state !== "running";
  bar.value = percent ?? 0;
  const took = new Date(at) - new Date(item.dataset.started);
  item.querySelector("[data-took]").textContent = state === "running" ? "" : words(took);
}

function watch(steps) {
  const job = steps.dataset.job;
  if (open.has(job)) return;
  const close = connect(() => `/ws/jobs/${job}/?after=${list(job)?.dataset.after ?? 0}`, {
    onMessage(message) {
      if (message.type === "step") show(job, message);
      else if (!["queued", "running"].includes(message.status)) end(job);
    },
  });
  open.set(job, close);
}

function end(job) {
  open.get(job)?.();
  open.set(job, null);
  refreshAll();
}

function bind() {
  for (const [job, close] of open) {
    if (close && !list(job)?.hasAttribute("data-unfinished")) {
      close();
      open.delete(job);
    }
  }
  for (const steps of document.querySelectorAll("[data-job][data-unfinished]")) watch(steps);
}

document.addEventListener("refreshed", bind);
bind();
