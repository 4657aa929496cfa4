// A picture dropped, chosen or pasted here is uploaded byte for byte; its settings are read there.
const zone = element.querySelector(".at-drop"), input = element.querySelector("input"), words = element.querySelector(".words");
const idle = words.textContent;
const send = async (file) => {
  if (!file) return;
  words.textContent = "Reading " + file.name + " …";
  try {
    const uploaded = await upload(file);
    trigger("dropped", { path: uploaded.path, name: file.name });
  } catch (error) { trigger("dropped", { path: "", name: file.name }); }
  words.textContent = idle;
  input.value = "";
};
zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
zone.addEventListener("dragleave", () => zone.classList.remove("over"));
zone.addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); send(event.dataTransfer.files[0]); });
input.addEventListener("change", () => send(input.files[0]));
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData ? event.clipboardData.files : [])].find((f) => f.type.startsWith("image/"));
  if (file && zone.offsetParent) { event.preventDefault(); send(file); }
});
// A picture that misses the zone must not replace the page.
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => {
  if (event.dataTransfer && [...event.dataTransfer.types].includes("Files") && !event.target.closest("input[type=file], .at-drop, [data-testid]")) {
    event.preventDefault();
    if (name === "drop" && zone.offsetParent) send(event.dataTransfer.files[0]);
  }
});
