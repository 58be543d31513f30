// `<img data-picture="address">` shows the newest picture of a guest for as long as it is looked at.
// The first word only asks the host for one, so it is read again soon.
const SOON = 3000;
const EVERY = 30_000;

function refresh() {
  if (document.hidden) return;
  for (const image of document.querySelectorAll("img[data-picture]")) {
    image.src = `${image.dataset.picture}?${Math.floor(Date.now() / 1000)}`;
  }
}

document.addEventListener("refreshed", refresh);
document.addEventListener("visibilitychange", refresh);
setTimeout(refresh, SOON);
setInterval(refresh, EVERY);
