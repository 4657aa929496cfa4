// Rows and questions that can be picked, by mouse and by keyboard; all else stands in the HTML.
const all = () => [...element.querySelectorAll("[data-pick]")];
const pick = (row) => {
  for (const each of all()) {
    each.classList.toggle("picked", each === row);
    each.setAttribute("aria-selected", String(each === row));
  }
  trigger("pick", { pick: row.dataset.pick });
};
element.addEventListener("click", (event) => {
  const row = event.target.closest("[data-pick]");
  if (row) pick(row);
});
element.addEventListener("keydown", (event) => {
  const rows = all(), here = rows.indexOf(document.activeElement);
  if (here < 0) return;
  if (event.key === "Enter" || event.key === " ") pick(rows[here]);
  else {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !rows[here + step]) return;
    rows[here + step].focus();
  }
  event.preventDefault();
});
