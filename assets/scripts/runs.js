// The list of runs: a press picks one, the boxes choose several to compare.
const rows = () => [...element.querySelectorAll("[data-pick]")];
const pick = (row) => {
  for (const each of rows()) { each.classList.toggle("picked", each === row); each.setAttribute("aria-selected", String(each === row)); }
  trigger("pick", { pick: row.dataset.pick });
};
element.addEventListener("click", (event) => {
  if (event.target.closest("label, input")) return;
  const row = event.target.closest("[data-pick]");
  if (row) pick(row);
});
element.addEventListener("change", (event) => {
  if (!event.target.matches("input[type=checkbox]")) return;
  const chosen = [...element.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value);
  trigger("choose", { names: chosen });
});
element.addEventListener("keydown", (event) => {
  const all = rows(), here = all.indexOf(document.activeElement);
  if (here < 0) return;
  if (event.key === "Enter") pick(all[here]);
  else if (event.key === " ") { const box = all[here].querySelector("input"); if (box) box.click(); }
  else {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !all[here + step]) return;
    all[here + step].focus();
  }
  event.preventDefault();
});
// Runs go on while somebody looks; the row that the keys are at stays theirs in the table anew.
let at = "";
element.addEventListener("focusin", (event) => { at = event.target.closest("[data-pick]")?.dataset.pick ?? ""; });
document.addEventListener("pointerdown", (event) => { if (!element.contains(event.target)) at = ""; });
new MutationObserver(() => {
  if (at && document.activeElement === document.body) rows().find((row) => row.dataset.pick === at)?.focus();
}).observe(element, { childList: true, subtree: true });
setInterval(() => {
  if (!document.hidden && element.offsetParent && window.atelier.answers) trigger("look");
}, 3000);
