// A press on the picture says what its cut keeps in the middle, in shares of width and height.
element.addEventListener("click", (event) => {
  const image = event.target.closest("img[data-sum]");
  if (!image) return;
  const box = image.getBoundingClientRect();
  trigger("place", { sum: image.dataset.sum, x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height });
});
