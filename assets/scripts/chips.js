// Example prompts as small buttons.
element.addEventListener("click", (event) => {
  const chip = event.target.closest("button");
  if (chip) trigger("choose", { text: chip.textContent });
});
const draw = () => element.querySelector("div").replaceChildren(...(props.value || []).map((text) => {
  const chip = document.createElement("button");
  chip.type = "button"; chip.className = "at-chip"; chip.textContent = text;
  return chip;
}));
draw();
watch("value", draw);
