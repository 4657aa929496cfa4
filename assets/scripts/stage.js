// Shows the running job and this page's pictures. Text is only ever set as text, never as markup.
const $ = (selector) => element.querySelector(selector);
const canvas = $(".at-canvas"), image = $(".at-canvas > img"), empty = $(".at-empty");
const progress = $(".at-progress"), bar = $(".at-progress .bar i"), text = $(".at-progress .what"), left = $(".at-progress .left");
const message = $(".at-message"), strip = $(".at-strip"), acts = $(".at-acts"), facts = $(".at-facts"), pre = $(".at-facts pre");
const viewer = $("dialog.at-viewer"), large = $("dialog.at-viewer img");
const laid = $(".at-compare"), before = $(".at-before"), wipe = $(".at-wipe"), divider = $(".at-divider"), compared = $("[data-act=compare]");
let picked = null, newest = null, drawn = "";
const address = (id, what) => "outputs/" + id + "/" + what;

const setSource = (node, source) => {
  if (node.getAttribute("src") === source) return;
  const next = new Image();  // shown only once it is there: no flicker
  next.onload = () => { node.src = source; };
  next.src = source;
};
// The source lies over the result, cut off where the slider stands.
const compare = (on) => {
  const shown = on && !compared.hidden && Boolean(before.dataset.source);
  if (shown && before.getAttribute("src") !== before.dataset.source) before.src = before.dataset.source;
  laid.hidden = !shown;
  compared.setAttribute("aria-pressed", String(shown));
  divider.style.left = wipe.value + "%";
  before.style.clipPath = "inset(0 " + (100 - wipe.value) + "% 0 0)";
};
const pick = async (id) => {
  picked = id;
  compared.hidden = true; before.dataset.source = ""; compare(false);
  for (const tile of strip.children) tile.classList.toggle("picked", tile.dataset.id === String(id));
  acts.hidden = facts.hidden = id === null;
  if (id === null) return;
  $(".download").href = address(id, "download");
  paint();
  try {
    const info = await (await fetch("outputs/" + id)).json();
    if (picked === id) { pre.textContent = info.infotext; image.alt = info.prompt; before.dataset.source = info.source ? "inputs/" + info.source : ""; compared.hidden = !info.source; }
  } catch { pre.textContent = "The settings could not be fetched."; }
};
const paint = () => {
  const state = props.value || {};
  const busy = Boolean(state.active);
  const following = busy && picked === newest;
  image.classList.toggle("preview", following && Boolean(state.preview));
  const source = following && state.preview ? state.preview : picked === null ? null : address(picked, "image");
  if (source) setSource(image, source);
  image.hidden = !source;
  if (busy && following) compare(false);
  empty.hidden = Boolean(source) || busy;
};
const tiles = (ids) => {
  const key = ids.join();
  if (key === drawn) return;
  drawn = key;
  strip.replaceChildren(...ids.map((id) => {
    const tile = document.createElement("button");
    tile.type = "button"; tile.className = "at-tile"; tile.dataset.id = id;
    tile.setAttribute("aria-label", "Picture " + id);
    const small = document.createElement("img");
    small.loading = "lazy"; small.alt = ""; small.src = address(id, "thumbnail");
    tile.append(small);
    return tile;
  }));
};
const draw = () => {
  const state = props.value || {};
  const ids = state.items || [];
  tiles(ids);
  progress.hidden = !state.active;
  bar.style.width = (100 * (state.fraction || 0)).toFixed(1) + "%";
  text.textContent = state.text || "";
  left.textContent = state.left || "";
  for (const name of ["cancel", "skip"]) {
    const button = document.getElementById($(".at-stage").dataset.ids + name);
    if (button) button.disabled = !state.active;
  }
  message.hidden = !state.message;
  message.textContent = state.message || "";
  message.classList.toggle("note", state.tone === "note");
  element.querySelector(".at-stage").dataset.status = state.status || "";
  element.querySelector(".at-stage").dataset.job = state.job || "";
  const first = ids.length ? ids[0] : null;
  if (first !== newest || (picked !== null && !ids.includes(picked))) { newest = first; pick(first); } else paint();
};
draw();
watch("value", draw);
strip.addEventListener("click", (event) => {
  const tile = event.target.closest(".at-tile");
  if (tile) pick(Number(tile.dataset.id));
});
strip.addEventListener("keydown", (event) => {
  const all = [...strip.children], here = all.indexOf(document.activeElement);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (here >= 0 && step && all[here + step]) { all[here + step].focus(); all[here + step].click(); event.preventDefault(); }
});
image.addEventListener("click", () => {
  if (picked === null || image.classList.contains("preview")) return;
  large.src = address(picked, "image"); large.alt = image.alt; viewer.showModal();
});
viewer.addEventListener("click", () => viewer.close());
wipe.addEventListener("input", () => compare(true));
before.addEventListener("load", () => {   // new ground on a side: the two do not lie over each other
  const shape = (node) => node.naturalWidth / node.naturalHeight;
  if (Math.abs(shape(before) / shape(image) - 1) > 0.02) { compare(false); compared.hidden = true; }
});
acts.addEventListener("click", async (event) => {
  const act = event.target.closest("[data-act]");
  if (!act || picked === null) return;
  if (act.dataset.act === "copy") {
    try { await navigator.clipboard.writeText(pre.textContent); act.textContent = "Copied"; }
    catch { facts.open = true; getSelection().selectAllChildren(pre); act.textContent = "Selected: press Ctrl+C"; }
    setTimeout(() => { act.textContent = "Copy settings"; }, 1600);
  } else if (act.dataset.act === "seed") trigger("reuse_seed", { id: picked });
  else if (act.dataset.act === "use") trigger("use_settings", { id: picked });
  else if (act.dataset.act === "compare") compare(laid.hidden);
  else if (act.dataset.act === "upscale") trigger("upscale", { id: picked });
  else if (act.dataset.act === "edit") trigger("edit", { id: picked });
});
