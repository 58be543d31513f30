// Sends a large file in parts, each to where the last one ended. What arrived stays: after a broken
// connection, a reload or another day it goes on from there.
const PART = 16 * 1024 * 1024;
const PAUSES = [1, 2, 5, 10, 20, 30];

const wait = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  let amount = bytes;
  while (amount >= 1024 && index < units.length - 1) { amount /= 1024; index += 1; }
  return `${amount < 10 && index ? amount.toFixed(1) : Math.round(amount)} ${units[index]}`;
}

function said(where, problem) {
  where.textContent = [problem.message, problem.remedy].filter(Boolean).join(" ");
  where.className = "field-error";
}

async function answered(response) {
  const problem = await response.json().catch(() => ({}));
  return { message: `The panel answered ${response.status}.`, ...problem };
}

async function send(form, file, places) {
  const bar = form.querySelector("[data-upload-bar]");
  const words = form.querySelector("[data-upload-words]");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const begun = Date.now();
  let offset = null;
  let failures = 0;
  let first = 0;
  bar.hidden = false;
  while (offset !== file.size) {
    try {
      if (offset === null) {
        const now = await fetch(places.about);
        if (!now.ok) return said(words, await answered(now));
        offset = (await now.json()).received_bytes;
        first = offset;
        if (offset === file.size) break;
      }
      const response = await fetch(places.content, {
        method: "PATCH",
        headers: { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset), "X-CSRFToken": token },
        body: file.slice(offset, offset + PART),
      });
      if (!response.ok) {
        const problem = await answered(response);
        if (!["wrong_offset", "upload_busy"].includes(problem.code) && response.status < 500) return said(words, problem);
        throw new Error(problem.message);
      }
      offset = (await response.json()).received_bytes;
      failures = 0;
    } catch (error) {
      offset = null;
      if (failures === PAUSES.length) return said(words, { message: `It broke off: ${error.message}`, remedy: "Open the image and choose the file again to go on." });
      words.textContent = `It broke off; going on in ${PAUSES[failures]} s.`;
      await wait(PAUSES[failures]);
      failures += 1;
      continue;
    }
    bar.value = Math.floor((offset * 100) / file.size);
    const speed = (offset - first) / Math.max(1, Date.now() - begun) * 1000;
    words.textContent = `${size(offset)} of ${size(file.size)}, ${size(speed)}/s. Keep this page open.`;
  }
  location.assign(places.page);
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-upload]");
  if (!form) return;
  event.preventDefault();
  const [file] = form.querySelector("[data-upload-file]").files;
  const button = form.querySelector("button.btn-primary");
  if (!file || button.disabled) return;
  form.querySelector("[name=upload_bytes]").value = file.size;
  button.disabled = true;
  const response = await fetch(location.href, { method: "POST", body: new FormData(form) }).catch(() => null);
  const page = response?.redirected ? new URL(response.url).pathname : "";
  if (!page) {
    button.disabled = false;
    const shown = response && new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = shown?.querySelector("[data-upload]");
    if (!fresh) return said(form.querySelector("[data-upload-words]"), { message: "The panel does not answer.", remedy: "Try again." });
    const errors = [...fresh.querySelectorAll(".field-error, .refusal")].map((part) => part.textContent.trim());
    return said(form.querySelector("[data-upload-words]"), { message: errors.join(" ") || "The panel refused." });
  }
  const uuid = page.split("/").at(-2);
  await send(form, file, { page, about: `/api/v1/images/${uuid}/`, content: `/api/v1/images/${uuid}/content/` });
});

document.addEventListener("change", async (event) => {
  const card = event.target.closest("[data-upload-on]");
  if (!card || !event.target.matches("[data-upload-file]")) return;
  const [file] = event.target.files;
  if (!file) return;
  const { uploadOn, uploadAbout, uploadPage, uploadBytes } = card.dataset;
  if (file.size !== Number(uploadBytes)) {
    return said(card.querySelector("[data-upload-words]"), { message: `This file has ${size(file.size)}, the upload ${size(Number(uploadBytes))}: it is another one.` });
  }
  event.target.disabled = true;
  // While it goes on, the page is not fetched again under it.
  card.closest("[data-refresh]")?.removeAttribute("data-refresh");
  await send(card, file, { page: uploadPage, about: uploadAbout, content: uploadOn });
  event.target.disabled = false;
});
