// A page of a picture set: captions are edited where they stand, a picture is picked by a press.
const tiles = () => [...element.querySelectorAll("[data-sum]")];
const written = (box) => {
  if (box.value === box.defaultValue) return;
  box.defaultValue = box.value;
  trigger("write", { sum: box.closest("[data-sum]").dataset.sum, text: box.value });
};
element.addEventListener("change", (event) => { if (event.target.matches("textarea")) written(event.target); });
element.addEventListener("keydown", (event) => {
  const box = event.target.closest("textarea");
  if (!box) return;
  const boxes = tiles().map((tile) => tile.querySelector("textarea"));
  const step = event.key === "Enter" && !event.shiftKey ? 1 : event.key === "PageDown" ? 1 : event.key === "PageUp" ? -1 : 0;
  if (event.key === "Escape") { box.value = box.defaultValue; box.blur(); event.stopPropagation(); }
  if (!step) return;
  event.preventDefault();
  written(box);
  const next = boxes[boxes.indexOf(box) + step];
  if (next) { next.focus(); next.select(); }
});
element.addEventListener("click", (event) => {
  const press = event.target.closest("button.at-train-seen");
  if (!press) return;
  const tile = press.closest("[data-sum]");
  for (const each of tiles()) each.classList.toggle("picked", each === tile);
  trigger("pick", { sum: tile.dataset.sum });
});
