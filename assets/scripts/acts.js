// Buttons inside shown HTML: what each does stands in its data-act and data-value.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button && !button.disabled) trigger("act", { act: button.dataset.act, value: button.dataset.value || "" });
});
