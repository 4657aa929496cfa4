// The pictures of one page of the gallery and the facts of the picked one.
const $ = (selector) => element.querySelector(selector);
const grid = $(".at-grid");
const made = (id) => {
  const tile = document.createElement("button");
  tile.type = "button"; tile.className = "at-tile"; tile.dataset.id = id;
  tile.setAttribute("aria-label", "Picture " + id);
  tile.setAttribute("aria-pressed", "false");
  const small = document.createElement("img");
  small.loading = "lazy"; small.decoding = "async"; small.alt = ""; small.src = "outputs/" + id + "/thumbnail";
  tile.append(small);
  return tile;
};
const draw = () => {
  const state = props.value || {};
  const ids = state.items || [];
  // Tiles that stay are the same ones, so that a new picture takes nobody's place or choice.
  const old = new Map([...grid.children].map((tile) => [tile.dataset.id, tile]));
  const focused = document.activeElement;
  grid.replaceChildren(...ids.map((id) => old.get(String(id)) || made(id)));
  if (grid.contains(focused)) focused.focus({ preventScroll: true });
  $(".at-empty").hidden = ids.length > 0;
  $(".at-empty").textContent = state.empty || "";
};
draw();
watch("value", draw);
grid.addEventListener("click", (event) => {
  const tile = event.target.closest(".at-tile");
  if (!tile) return;
  for (const each of grid.children) {
    each.classList.toggle("picked", each === tile);
    each.setAttribute("aria-pressed", String(each === tile));
  }
  trigger("pick", { id: Number(tile.dataset.id) });
});
grid.addEventListener("keydown", (event) => {
  const all = [...grid.children], here = all.indexOf(document.activeElement);
  const across = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
  if (here >= 0 && step && all[here + step]) { all[here + step].focus(); event.preventDefault(); }
});
// Pictures are made while somebody looks: by their other tab, or by others.
// A server that does not answer is the header's to tell, not a message's every few seconds.
setInterval(() => {
  if (document.hidden || !grid.offsetParent || !window.atelier.answers) return;
  trigger("look", { id: props.value?.items?.[0] });
}, 3000);
