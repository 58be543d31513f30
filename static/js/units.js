// Figures as people write them, like `said` of kvmweb/ui/charts.py.
const PREFIXES = {
  bytes: [1024, ["B", "KiB", "MiB", "GiB", "TiB"], ""],
  "bytes/s": [1024, ["B", "KiB", "MiB", "GiB", "TiB"], "/s"],
  "bits/s": [1000, ["bit", "kbit", "Mbit", "Gbit", "Tbit"], "/s"],
  "/s": [1000, ["", "k", "M", "G"], "/s"],
  number: [1000, ["", "k", "M", "G"], ""],
};
const DECIMAL = [1, 2, 2.5, 5];

export function said(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "percent") return `${value.toFixed(1)} %`;
  const [base, names, after] = PREFIXES[unit];
  let at = 0;
  let left = value;
  while (left >= base && at < names.length - 1) {
    left /= base;
    at += 1;
  }
  const text = left >= 100 || Number.isInteger(left) ? left.toFixed(0) : left.toFixed(1);
  return `${text} ${names[at]}`.trim() + after;
}

// Steps of an axis that are round in the unit: of KiB they are powers of two.
function steps(base) {
  const binary = base === 1024;
  const found = [];
  for (let power = binary ? 0 : -3; power < 15; power += 1) {
    const size = binary ? 1024 ** power : 10 ** power;
    const within = binary ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] : DECIMAL;
    found.push(...within.map((one) => one * size));
  }
  return found;
}

export function axis(unit) {
  const base = unit === "percent" ? 1000 : PREFIXES[unit][0];
  const plain = (value) => (unit === "percent" ? `${value} %` : said(value, unit));
  return { incrs: steps(base), values: (_plot, ticks) => ticks.map(plain) };
}
