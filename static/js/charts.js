// `[data-charts=URL]`: the charts in it, drawn from one answer of the REST API, read again every so
// often, and with what the live socket tells where there is one.
import uPlot from "uplot";
import { connect } from "./socket.js";
import { axis, said } from "./units.js";

const HEIGHT = 210;
const AGAIN = 30_000;
const COLOURS = ["--accent", "--warn", "--bad", "--good"];
const FILL = "22";
const DATE = "\n{D} {MMM}";
// From how many seconds between two marks on: the mark, and what is added where the day changes.
const TIMES = [
  [28 * 86_400, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86_400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", DATE, null, DATE, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", DATE, null, DATE, null, null, null, 1],
];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

class Chart {
  constructor(figure) {
    this.about = JSON.parse(figure.dataset.chart);
    this.figure = figure;
    this.place = figure.querySelector("[data-place]");
    this.empty = figure.querySelector("[data-empty]");
    this.plot = null;
    this.data = null;
    new ResizeObserver(() => this.fit()).observe(figure);
  }

  columns(times, values) {
    const of = ({ field, scale }) => values[field].map((value) => (value === null ? null : value * scale));
    return [times, ...this.about.lines.map(of)];
  }

  show(times, values) {
    this.data = this.columns(times, values);
    const some = this.data.slice(1).some((column) => column.some((value) => value !== null));
    this.empty.hidden = some;
    this.figure.dataset.points = String(some ? times.length : 0);
    if (!some) return;
    if (this.plot) this.plot.setData(this.data);
    else this.draw();
  }

  draw() {
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), this.data, this.place);
  }

  fit() {
    if (this.plot && this.place.clientWidth) this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT });
  }

  options() {
    const { unit, most, lines } = this.about;
    const ink = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const top = (_plot, _low, high) => [0, Math.max(most, (high || 0) * 1.08) || 1];
    return {
      width: this.place.clientWidth || 400,
      height: HEIGHT,
      cursor: { sync: { key: "charts" }, drag: { x: false, y: false } },
      scales: { y: { range: top } },
      axes: [{ ...ink, values: TIMES }, { ...ink, ...axis(unit), size: 76 }],
      series: [{ value: (_plot, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString([], { hour12: false })), label: "At" },
        ...lines.map(({ label }, number) => ({
          label,
          stroke: colour(COLOURS[number]),
          fill: lines.length === 1 ? `${colour(COLOURS[number])}${FILL}` : undefined,
          width: 1.75,
          dash: number ? [6, 3] : undefined,
          points: { show: false },
          spanGaps: false,
          value: (_plot, value) => said(value, unit),
        }))],
    };
  }
}

class Page {
  constructor(region) {
    this.region = region;
    this.charts = [...region.querySelectorAll("[data-chart]")].map((figure) => new Chart(figure));
    this.told = { times: [], values: {} };
    this.live = [];
    this.tag = "";
    const redraw = () => this.charts.forEach((chart) => chart.plot && chart.draw());
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    this.read();
    setInterval(() => { if (!document.hidden) this.read(); }, AGAIN);
    this.watch(region.dataset.liveUrl);
  }

  async read() {
    const from = new Date(Date.now() - 1000 * Number(this.region.dataset.span));
    const address = `${this.region.dataset.charts}?from=${from.toISOString()}`;
    const response = await fetch(address, { headers: this.tag ? { "If-None-Match": this.tag } : {} }).catch(() => null);
    if (!response?.ok) return;
    this.tag = response.headers.get("ETag") || "";
    const answer = await response.json();
    const first = Date.parse(answer.from) / 1000;
    const count = Math.max(...Object.values(answer.values).map((column) => column.length));
    this.told = { times: Array.from({ length: count }, (_, at) => first + at * answer.step), values: answer.values };
    this.show();
  }

  show() {
    const { times, values } = this.told;
    const begin = Date.now() / 1000 - Number(this.region.dataset.span);
    const last = this.lastTold();
    this.live = this.live.filter(({ at }) => at >= begin && at > last);
    const kept = times.filter((at) => at <= last || !this.live.length || at < this.live[0].at);
    const all = [...kept, ...this.live.map(({ at }) => at)];
    const columns = Object.fromEntries(Object.entries(values).map(([name, column]) => [
      name, [...column.slice(0, kept.length), ...this.live.map((sample) => sample.values[name] ?? null)],
    ]));
    this.charts.forEach((chart) => chart.show(all, columns));
  }

  // The last moment of which the API told something: what comes live follows it.
  lastTold() {
    const { times, values } = this.told;
    const columns = Object.values(values);
    for (let at = times.length - 1; at >= 0; at -= 1) {
      if (columns.some((column) => column[at] !== null)) return times[at];
    }
    return 0;
  }

  watch(address) {
    if (!address) return;
    let end = null;
    const follow = () => {
      if (document.hidden) {
        end?.();
        end = null;
      } else if (!end) {
        end = connect(address, { onMessage: (sample) => this.add(sample) });
      }
    };
    document.addEventListener("visibilitychange", follow);
    follow();
  }

  add(sample) {
    if (sample.values === null) return;
    this.live.push({ at: sample.at, values: sample.values });
    this.region.dataset.live = String(this.live.length);
    this.show();
  }
}

for (const region of document.querySelectorAll("[data-charts]")) new Page(region);
