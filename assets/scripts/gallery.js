// The pictures of one page of the gallery and the facts of the picked one.
const $ = (selector) => element.querySelector(selector);
const grid = $(".at-grid");
const draw = () => {
  const state = props.value || {};
  const ids = state.items || [];
  grid.replaceChildren(...ids.map((id) => {
    const tile = document.createElement("button");
    tile.type = "button"; tile.className = "at-tile"; tile.dataset.id = id;
    tile.setAttribute("aria-label", "Picture " + id);
    tile.setAttribute("aria-pressed", "false");
    const small = document.createElement("img");
    small.loading = "lazy"; small.decoding = "async"; small.alt = ""; small.src = "outputs/" + id + "/thumbnail";
    tile.append(small);
    return tile;
  }));
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
