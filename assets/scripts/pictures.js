// Pictures, captions and archives, dropped or chosen together: uploaded a few at a time, then told of.
const zone = element.querySelector(".at-drop"), input = element.querySelector("input"), words = element.querySelector(".words");
const TOGETHER = 4;
let busy = false;
const say = (text) => { words.textContent = text || props.value || ""; };
const send = async (files) => {
  if (busy || !files.length) return;
  busy = true;
  const found = [], lost = [];
  const waiting = files.map((file, place) => ({ file, place }));
  const one = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      say(`${found.length + lost.length + 1} of ${files.length} …`);
      const name = next.file.webkitRelativePath || next.file.name;
      try { found.push({ place: next.place, path: (await upload(next.file)).path, name }); } catch { lost.push(name); }
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, one));
  found.sort((a, b) => a.place - b.place);
  trigger("dropped", { files: found, lost });
  say(""); busy = false; input.value = "";
};
// A folder that is dropped is looked through.
const inside = async (entry) => {
  if (entry.isFile) return [await new Promise((give, fail) => entry.file(give, fail))];
  const reader = entry.createReader(), all = [];
  for (;;) {
    const some = await new Promise((give, fail) => reader.readEntries(give, fail));
    if (!some.length) break;
    for (const each of some) all.push(...await inside(each));
  }
  return all;
};
for (const name of ["dragover", "dragleave", "drop"]) zone.addEventListener(name, async (event) => {
  event.preventDefault();
  zone.classList.toggle("over", name === "dragover");
  if (name !== "drop") return;
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
  const plain = [...event.dataTransfer.files];
  send(entries.some((entry) => entry.isDirectory) ? (await Promise.all(entries.map(inside))).flat() : plain);
});
input.addEventListener("change", () => send([...input.files]));
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData ? event.clipboardData.files : [])].filter((each) => each.type.startsWith("image/"));
  if (files.length && zone.offsetParent) { event.preventDefault(); send(files); }
});
say("");
watch("value", () => { if (!busy) say(""); });
