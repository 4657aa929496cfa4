// The picture that a tab works on: sent to the server as it is, and named by its hash from then on.
const $ = (selector) => element.querySelector(selector);
const zone = $(".at-drop"), input = $("input"), image = $("img"), words = $(".words"), message = $(".at-message");
const idle = words.textContent;
let hash = "", sending = Promise.resolve(), size = null, scale = Number($(".at-source").dataset.scale);
const say = (text, note) => { message.textContent = text || ""; message.hidden = !text; message.classList.toggle("note", Boolean(note)); };
const tell = () => {
  if (!size) { words.textContent = idle; return; }
  const large = size.map((side) => Math.max(1, Math.round(side * scale)));
  words.textContent = size.join(" × ") + (scale === 1 ? " pixels" : " → " + large.join(" × ") + " pixels");
};
const show = (named) => {
  if (!named) return;
  hash = named;
  image.onload = () => { size = [image.naturalWidth, image.naturalHeight]; image.hidden = false; tell(); };
  image.onerror = () => { size = null; image.hidden = true; tell(); };
  image.src = "inputs/" + hash;
};
const take = async (file) => {
  if (!file) return;
  say("Reading " + file.name + " …", true);
  try {
    const query = new URLSearchParams({ kind: "picture", name: file.name });
    const answer = await fetch("inputs?" + query, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.detail);
    say(told.notes.join(" "), true);
    show(told.hash);
  } catch (error) { say(error.message); }
  input.value = "";
};
// A press that comes while a file is still on its way waits for it.
const send = (file) => { sending = take(file); };
window.atelier = { ...window.atelier, async picture() { await sending; return hash; }, enlarged(by) { scale = Number(by) || 1; tell(); } };
const draw = () => { show((props.value || {}).source); };
draw();
watch("value", draw);
for (const name of ["dragover", "dragleave", "drop"]) zone.addEventListener(name, (event) => {
  event.preventDefault();
  zone.classList.toggle("over", name === "dragover");
  if (name === "drop") send(event.dataTransfer.files[0]);
});
input.addEventListener("change", () => send(input.files[0]));
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData ? event.clipboardData.files : [])].find((each) => each.type.startsWith("image/"));
  if (file && zone.offsetParent) { event.preventDefault(); send(file); }
});
