// Keeps regions marked `data-refresh="kind kind:uuid job:uuid"` true: the events socket says what
// changed, and the regions concerned are fetched again and morphed in place.
import htmx from "htmx.org";
import { connect } from "./socket.js";

const QUIET = 250;
const EVERY = 30_000;
const wanted = new Set();
const statuses = new Map();
let timer = 0;
let fetching = false;
let last = Date.now();

const regions = () => [...document.querySelectorAll("[data-refresh]")];
const source = (region) => region.dataset.refreshUrl || location.pathname + location.search;
const typedIn = (region) => region.contains(document.activeElement)
  && document.activeElement.matches("input:not([type=hidden]), textarea, select");

export function refreshAll() {
  for (const region of regions()) wanted.add(region.id);
  schedule();
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(run, QUIET);
}

async function run() {
  if (fetching) return schedule();
  fetching = true;
  const due = regions().filter((region) => wanted.has(region.id) && !typedIn(region));
  wanted.clear();
  try {
    for (const url of new Set(due.map(source))) {
      await fetchInto(url, due.filter((region) => source(region) === url));
    }
    last = Date.now();
    document.dispatchEvent(new CustomEvent("refreshed"));
  } finally {
    fetching = false;
  }
}

async function fetchInto(url, due) {
  const response = await fetch(url, { headers: { "X-Refresh": "1" } }).catch(() => null);
  if (!response) return;
  if (response.redirected) return location.reload();
  if (response.status === 404 && document.body.dataset.gone) {
    return location.assign(document.body.dataset.gone);
  }
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const region of due) await put(region, page.getElementById(region.id));
  if (page.title) document.title = page.title;
}

async function put(region, fresh) {
  if (!region.isConnected) return;
  if (fresh) await htmx.swap({ text: fresh.outerHTML, target: region, sourceElement: region, swap: "outerMorph" });
  else region.remove();
}

function isNews({ job, status }) {
  if (!job) return true;
  const news = statuses.get(job) !== status;
  statuses.set(job, status);
  return news;
}

function changed(message) {
  if (!isNews(message)) return;
  const { kind, subject, job } = message;
  const words = new Set([kind, `${kind}:${subject}`, ...(job ? ["job", `job:${job}`] : [])]);
  for (const region of regions()) {
    if (region.dataset.refresh.split(" ").some((word) => words.has(word))) wanted.add(region.id);
  }
  if (wanted.size) schedule();
}

function start() {
  const offline = document.querySelector("[data-offline]");
  let known = false;
  let late = 0;
  connect("/ws/events/", {
    onMessage: changed,
    onOpen() {
      clearTimeout(late);
      offline.hidden = true;
      document.documentElement.dataset.live = "";
      if (known) refreshAll();
      known = true;
    },
    onClose() {
      clearTimeout(late);
      late = setTimeout(() => { offline.hidden = false; }, 3000);
      delete document.documentElement.dataset.live;
    },
  });
  document.addEventListener("toggle", (event) => {
    if (!event.target.matches("[data-jobs][open]")) return;
    for (const region of event.target.querySelectorAll("[data-refresh]")) wanted.add(region.id);
    run();
  }, true);
  setInterval(() => { if (!document.hidden) refreshAll(); }, EVERY);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - last > EVERY) refreshAll();
  });
}

htmx.config.morphIgnore.push("open");
if (document.body.dataset.user !== undefined) start();
