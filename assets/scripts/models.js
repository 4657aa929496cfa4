// The weights of the studio as rows, with what is in memory right now.
const $ = (selector) => element.querySelector(selector);
const list = $(".at-rows"), bar = $(".at-memory"), second = $(".at-memory.at-main"), users = $(".at-leases");
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
  const now = (there.in_use ? "in use, " : there.resting ? "in main memory, " : "loaded, ") + size(there.bytes);
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
const gauge = (box, name, used, total, models, budget) => {
  const share = (bytes) => Math.min(100, 100 * bytes / total).toFixed(1) + "%";
  box.querySelector(".all").style.width = share(used);
  box.querySelector(".own").style.width = share(models);
  box.querySelector(".budget").style.left = share(budget);
  box.querySelector("p").textContent = name + ": " + size(used) + " of " + size(total)
    + " in use, " + (models ? size(models) : "nothing") + " by models, which may take " + size(budget);
};
const span_of = (seconds) => seconds < 90 ? Math.max(1, Math.round(seconds)) + " s" : Math.round(seconds / 60) + " min";
const lease = (each) => {
  const now = Date.now() / 1000;
  const holder = each.holder[0].toUpperCase() + each.holder.slice(1);
  if (each.waits) return holder + " waits for the device, since " + span_of(now - each.since);
  return holder + " has the device" + (each.alone ? " alone" : "") + (each.until > now ? ", for about " + span_of(each.until - now) : "");
};
const meter = (s) => {
  const bytes = (resting) => s.held.reduce((sum, each) => sum + (each.resting === resting ? each.bytes : 0), 0);
  bar.hidden = !s.ready;
  second.hidden = !s.ready || !s.main_total;
  if (bar.hidden) return;
  gauge(bar, s.device, s.memory_used, s.memory_total, bytes(false), s.budget);
  if (!second.hidden) gauge(second, "Main memory", s.main_used, s.main_total, bytes(true), s.main_budget);
  users.textContent = s.leases.length ? s.leases.map(lease).join(" · ") : "The device is free";
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
