// `<time datetime data-ago>` in words that stay true, with the exact local time on hover.
const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60]];
const format = new Intl.RelativeTimeFormat("en", { style: "short", numeric: "always" });

function words(then) {
  const seconds = (Date.now() - then) / 1000;
  if (seconds > 7 * 86_400) return then.toLocaleDateString();
  const [unit, size] = UNITS.find(([, length]) => seconds >= length) || [];
  return unit ? format.format(-Math.floor(seconds / size), unit) : "just now";
}

function update() {
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const then = new Date(element.dateTime);
    const text = words(then);
    if (element.textContent !== text) element.textContent = text;
    element.title = then.toLocaleString();
  }
}

document.addEventListener("refreshed", update);
setInterval(update, 10_000);
update();
