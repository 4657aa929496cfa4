// A passage under which its questions stand: the one that is pressed shows where its answers are.
const show = (question) => {
  const number = question ? question.dataset.question : "";
  for (const each of element.querySelectorAll("[data-question]")) {
    each.classList.toggle("picked", each === question);
    each.setAttribute("aria-pressed", String(each === question));
  }
  const passage = element.querySelector(".at-passage");
  if (!passage) return;
  passage.classList.toggle("one", Boolean(question));
  const found = [...passage.querySelectorAll("mark")];
  for (const each of found) each.classList.toggle("on", each.dataset.of.split(" ").includes(number));
  const first = found.find((each) => each.classList.contains("on"));
  // Only the passage moves: the page must not jump under the pointer.
  if (first) passage.scrollTop += first.getBoundingClientRect().top - passage.getBoundingClientRect().top - passage.clientHeight / 3;
};
const asked = (event) => event.target.closest("[data-question]");
const press = (question) => show(question.classList.contains("picked") ? null : question);
element.addEventListener("click", (event) => { if (asked(event)) press(asked(event)); });
element.addEventListener("keydown", (event) => {
  if ((event.key !== "Enter" && event.key !== " ") || !asked(event)) return;
  press(asked(event));
  event.preventDefault();
});
const begin = () => requestAnimationFrame(() => show(element.querySelector("[data-question].picked")));
begin();
watch("value", begin);
