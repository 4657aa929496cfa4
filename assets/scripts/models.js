// The weights of the studio as rows, with what is in memory right now.
const $ = (selector) => element.querySelector(selector);
const list = $(".at-rows"), bar = $(".at-memory");
let held = {};
const size = (bytes) => bytes >= 1e9 ? (bytes / 1e9).toFixed(1) + " GB" : Math.max(0.1, bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0) + " MB";
const span = (className, text) => {
  const made = document.createElement("span");
  made.className = className; made.textContent = text;
  return made;
};
const state = (row) => {
  if (row.problem) return ["at-state bad", "cannot be used"];
  const there = row.kind === "model" && held[row.id], standard = row.standard ? "default" : "";
  if (!there) return ["at-state", standard];
  const now = (there.in_use ? "in use, " : "loaded, ") + size(there.bytes);
  return ["at-state on", standard ? now + ", " + standard : now];
};
const draw = () => {
  const { items = [], empty = "", more = "", picked = "" } = props.value || {};
  list.replaceChildren(...items.map((row) => {
    const made = document.createElement("button");
    made.type = "button"; made.className = "at-model"; made.dataset.key = row.kind + "\n" + row.id;
    const chosen = made.dataset.key === picked;
    made.classList.toggle("picked", chosen);
    made.setAttribute("aria-pressed", String(chosen));
    made.append(span("at-name", row.title), span("at-kind", row.kind), span("at-family", row.family), span("at-size", row.bytes ? size(row.bytes) : ""), span(...state(row)));
    return made;
  }));
  $(".at-more").textContent = more;
  $(".at-empty").hidden = items.length > 0;
  $(".at-empty").textContent = empty;
};
const meter = (s) => {
  const share = (bytes) => Math.min(100, 100 * bytes / s.memory_total).toFixed(1) + "%";
  const models = s.held.reduce((sum, each) => sum + each.bytes, 0);
  bar.hidden = !s.ready;
  $(".at-memory .all").style.width = share(s.memory_used);
  $(".at-memory .own").style.width = share(models);
  $(".at-memory .budget").style.left = share(s.budget);
  $(".at-memory p").textContent = s.device + ": " + size(s.memory_used) + " of " + size(s.memory_total)
    + " in use, " + (models ? size(models) : "nothing") + " by models, which may take " + size(s.budget);
};
const ask = async () => {
  if (document.hidden || !element.offsetParent) return;
  try {
    const s = await (await fetch("status", { cache: "no-store" })).json();
    const before = JSON.stringify(held);
    held = Object.fromEntries(s.held.filter((each) => each.kind === "diffusion").map((each) => [each.id, each]));
    meter(s);
    if (JSON.stringify(held) !== before) {
      const at = document.activeElement && document.activeElement.dataset.key;
      draw();
      if (at) for (const row of list.children) if (row.dataset.key === at) row.focus();
    }
  } catch { /* the header says that the server is gone */ }
};
draw(); ask();
setInterval(ask, 1500);
watch("value", () => { draw(); ask(); });
list.addEventListener("click", (event) => {
  const row = event.target.closest(".at-model");
  if (!row) return;
  for (const each of list.children) {
    each.classList.toggle("picked", each === row);
    each.setAttribute("aria-pressed", String(each === row));
  }
  const [kind, id] = row.dataset.key.split("\n");
  trigger("pick", { kind, id });
  // On a phone what is known of it stands below the rows, out of sight.
  const facts = document.getElementById("at-model-facts");
  if (facts && facts.getBoundingClientRect().top > innerHeight - 150) facts.scrollIntoView({ block: "start" });
});
list.addEventListener("keydown", (event) => {
  const all = [...list.children], here = all.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (here >= 0 && step && all[here + step]) { all[here + step].focus(); event.preventDefault(); }
});
