// Says in words what a New VM form will make, while it is filled in.
const form = document.querySelector("form[data-summary]");

const value = (name) => form.elements[name]?.value ?? "";

function set(name, text) {
  const element = document.querySelector(`[data-say="${name}"]`);
  if (element && element.textContent !== text) element.textContent = text;
}

function memory(mib) {
  return mib >= 1024 ? `${Number((mib / 1024).toFixed(1))} GiB` : `${mib} MiB`;
}

function network() {
  const choice = form.elements.network;
  if (value("network") === "new") {
    return `${value("network_name") || "a new network"} (new, ${value("ipv4_subnet") || "a free subnet"})`;
  }
  return choice.selectedOptions?.[0]?.dataset.words || choice.selectedOptions?.[0]?.textContent || "";
}

function doors() {
  const chosen = value("public_address") && form.elements.public_address.selectedOptions[0].text;
  const address = chosen ? chosen.split(/[, ]/)[0] : form.dataset.summary;
  return [...form.querySelectorAll("[data-forward]")].flatMap((row) => {
    const part = (name) => row.querySelector(`[name$="-${name}"]`);
    const target = part("target_port")?.value;
    if (!part("enabled")?.checked || !target) return [];
    const proposed = address === form.dataset.summary ? part("public_port").placeholder : "";
    const port = part("public_port").value || proposed;
    return [`${address}:${port || "…"} → port ${target}`];
  });
}

function fillDoors() {
  const list = document.querySelector("[data-say=doors]");
  const lines = doors();
  const texts = lines.length ? lines : ["Nobody from outside; it reaches out itself."];
  list.replaceChildren(...texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    if (lines.length) item.className = "mono";
    return item;
  }));
}

function update() {
  set("name", value("name") || "Your VM");
  const image = form.querySelector("[name=image]:checked");
  set("image", image?.dataset.words || "no image yet");
  const flavour = form.elements.flavour?.selectedOptions[0];
  set("size", flavour?.value ? flavour.textContent : `${value("vcpus")} vCPU, ${memory(Number(value("memory_mib")))} memory, ${value("disk_gib") || image?.dataset.disk || 1} GiB disk`);
  set("network", network());
  fillDoors();
  if (form.elements.disk_gib) form.elements.disk_gib.placeholder = image?.dataset.disk || 1;
  const fresh = document.querySelector("[data-new-network]");
  if (fresh) fresh.hidden = value("network") !== "new";
}

if (form) {
  form.addEventListener("input", update);
  update();
}
