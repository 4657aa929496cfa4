// The administrators' page: each section asks its route when it is opened, and the live ones again.
const root = document.body.dataset.root, api = "/api/v1/admin";
const by = (id) => document.getElementById(id);
const SORTS = {
  pictures: "#4f46e5", trash: "#a8a29e", inputs: "#0ea5e9", trainings: "#d97706",
  models: "#16a34a", "picture sets": "#db2777", "data sets": "#7c3aed",
  evaluations: "#0d9488",
};
const ROLES = ["viewer", "member", "administrator"];
const SIZE = 50;

// Words.

const when = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
const clock = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
const count = (number, word) => `${number.toLocaleString()} ${word}${number === 1 ? "" : "s"}`;
function long(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
  return `${Math.round(seconds / 86400)} days`;
}
function ago(seconds) {
  const past = Date.now() / 1000 - seconds;
  return past < 90 ? "just now" : past < 604800 ? `${long(past)} ago` : when(seconds);
}
function bytes(number) {
  for (const [unit, of] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6]]) {
    if (number >= of) return `${(number / of).toFixed(number >= 100 * of ? 0 : 1)} ${unit}`;
  }
  return number ? `${Math.max(1, Math.round(number / 1e3))} kB` : "0";
}

// Elements: texts are set as texts, so that what people are called and ask for is never markup.

function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// What had the focus has it again, for a list is made anew while somebody goes through it by keys.
function fill(place, ...children) {
  const key = document.activeElement?.dataset?.key;
  place.replaceChildren(...children);
  if (key) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

const bar = (share, label, full = false) => make("div",
  { class: full ? "bar full" : "bar", role: "img", "aria-label": label },
  make("i", { style: `width:${100 * Math.min(1, Math.max(0, share))}%` }));
const chip = (words, sort = "") => make("span", { class: `chip ${sort}` }, words);
const button = (words, name, deed, given = {}) => make("button",
  { type: "button", "aria-label": `${words}: ${name}`, "data-key": `${words}: ${name}`, onclick: () => act(deed), ...given }, words);

function table(labels, rows, empty) {
  if (!rows.length) return make("p", { class: "empty" }, empty);
  return make("table", {},
    make("thead", {}, make("tr", {}, ...labels.map((label) => make("th", { scope: "col" }, label)))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell, i) => {
      const [content, style] = Array.isArray(cell) ? cell : [cell, ""];
      const none = content === "" || content === null;
      return make("td", { class: `${style}${none ? " none" : ""}`.trim() || null, "data-label": labels[i] }, none ? null : content);
    })))));
}

// Asking.

async function ask(method, path, body) {
  const answer = await fetch(root + path, {
    method,
    cache: "no-store",
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  if (answer.status === 401) location.assign(`${root}/login?next=/admin`);
  const text = await answer.text();
  const told = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(typeof told?.detail === "string" ? told.detail : "That cannot be done.");
  return told;
}
function complain(error) {
  by("problem").textContent = error.message;
  if (error.message) scrollTo(0, 0);
}
async function act(deed) {
  complain({ message: "" });
  try { await deed(); await show(); } catch (error) { complain(error); }
}

// People.

function showLink(name, told) {
  by("link").hidden = false;
  by("link").firstElementChild.textContent = `Send this to ${name}; it is good for one day and once:`;
  by("link").lastElementChild.textContent = location.origin + root + told.link;
}
const METERS = [
  { name: "waiting_jobs", title: "Waiting jobs", used: (p) => p.waiting, told: String, unit: 1 },
  { name: "images_a_day", title: "Images in 24 hours", used: (p) => p.images, told: (n) => n.toLocaleString(), unit: 1 },
  { name: "training_hours", title: "Training in 30 days, hours", used: (p) => p.training_hours, told: (n) => n.toFixed(1), unit: 1, step: "any" },
  { name: "disk", title: "Disk, GB", used: (p) => p.disk, told: (n) => (n / 1e9).toFixed(n < 1e8 ? 2 : 1), unit: 1e9, step: "any" },
];
function meter(person, usual, each) {
  const own = person.own[each.name], free = person.role === "administrator";
  const limit = free ? 0 : own ?? usual[each.name], used = each.used(person);
  const words = used === null ? "…" : each.told(used);
  const box = make("input", {
    type: "number", min: 0, step: each.step ?? 1, disabled: free, "data-key": `${each.name} ${person.id}`,
    "aria-label": `${each.title}: limit of ${person.name}`, value: own === null ? null : own / each.unit,
    placeholder: free || !usual[each.name] ? "no limit" : String(usual[each.name] / each.unit),
    onchange: (event) => act(async () => {
      const text = event.target.value.trim();
      const value = text === "" ? null : Number(text) * each.unit;
      const whole = each.name === "training_hours" || value === null ? value : Math.round(value);
      await ask("POST", `/api/v1/people/${person.id}/quotas`, { [each.name]: whole });
    }),
  });
  const share = limit && used !== null ? used / limit : 0;
  return make("div", { class: "meter" }, make("span", { class: "quiet" }, each.title),
    make("div", { class: "line" }, make("b", {}, words), "of", box),
    bar(share, limit ? `${words} of ${each.told(limit)}` : `${words}, no limit`, limit > 0 && share >= 1));
}
function ofPerson(person, usual) {
  const path = `/people/${person.id}`, name = person.name;
  const seen = person.seen_at ? `seen ${ago(person.seen_at)}` : "never seen";
  const jobs = person.running || person.waiting ? `, ${person.running} running and ${person.waiting} waiting` : "";
  const role = make("select", {
    "aria-label": `Role of ${name}`, "data-key": `role ${person.id}`,
    onchange: (event) => act(() => ask("POST", path, { role: event.target.value })),
  }, ...ROLES.map((each) => make("option", { selected: each === person.role }, each)));
  const shown = make("b", {}, name);
  const rename = async () => {
    const box = make("input", { type: "text", maxlength: 40, value: name, "aria-label": `New name of ${name}` });
    const leave = () => box.isConnected && box.replaceWith(shown);
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") leave();
      if (event.key === "Enter") act(() => ask("POST", path, { name: box.value }));
    });
    box.addEventListener("blur", leave);
    shown.replaceWith(box);
    box.select();
  };
  return make("div", { class: "card" },
    make("div", { class: "who" },
      make("div", {}, shown, " ",
        person.invited ? chip("has not chosen a password yet", "on") : person.disabled ? chip("is not let in", "bad") : null,
        make("small", {}, seen + jobs)),
      role,
      make("button", { type: "button", "aria-label": `Rename: ${name}`, onclick: rename }, "Rename"),
      button("Link", name, async () => showLink(name, await ask("POST", `${path}/link`))),
      button(person.disabled ? "Let in" : "Disable", name, () => ask("POST", path, { disabled: !person.disabled })),
      button("Remove", name, async () => { if (confirm(`Remove ${name}? What they have made stays.`)) await ask("DELETE", path); })),
    make("div", { class: "meters" }, ...METERS.map((each) => meter(person, usual, each))));
}
async function people() {
  const off = document.body.dataset.accounts === "off";
  by("people-add").hidden = by("people-lead").hidden = off;
  if (off) {
    fill(by("people-list"), make("p", { class: "empty" }, "Nobody logs in to this studio, which only this machine can reach. With accounts (--listen for others, or ATELIER_ACCOUNTS=on) people stand here."));
    return 0;
  }
  const told = await ask("GET", `${api}/people`);
  by("people-count").textContent = count(told.people.length, "account");
  fill(by("people-list"), ...told.people.map((each) => ofPerson(each, told.usual)));
  return told.people.some((each) => each.disk === null) ? 1 : 0;
}

// Jobs.

const whose = (job) => job.name || (job.by_command ? "a command" : "the studio");
function what(job) {
  const words = job.request.prompt || job.request.name || job.request.repo || "";
  return make("div", {}, job.kind, words ? make("small", {}, words.length > 120 ? `${words.slice(0, 120)}…` : words) : null);
}
const cancel = (job) => button("Cancel", `${job.kind} of ${whose(job)} ${job.id.slice(0, 8)}`, () => ask("DELETE", `/api/v1/jobs/${job.id}`));
function runs(job) {
  const left = job.seconds_left === null ? "" : `, ${long(job.seconds_left)} left`;
  const words = `${Math.round(100 * job.progress)}%${left}`;
  return [what(job), whose(job), [ago(job.started_at), "number"], make("div", {}, words, bar(job.progress, words)), [cancel(job), "deeds"]];
}
function waits(job) {
  const begins = job.seconds_to_begin === null ? "not known" : job.seconds_to_begin < 1 ? "now" : `in about ${long(job.seconds_to_begin)}`;
  const raise = job.raised ? null : button("Put first", `${job.kind} of ${whose(job)} ${job.id.slice(0, 8)}`, () => ask("POST", `/api/v1/jobs/${job.id}/raise`));
  const place = make("div", {}, String(job.position), " ", job.raised ? chip("put first", "on") : null);
  return [place, what(job), whose(job), [begins, "number"], [make("span", {}, ...[raise, cancel(job)].filter(Boolean)), "deeds"]];
}
const ENDS = { finished: "good", failed: "bad" };
function over(job) {
  const took = job.started_at && job.ended_at ? long(job.ended_at - job.started_at) : "";
  return [what(job), whose(job), [ago(job.ended_at), "number"], [took, "number"],
    make("div", {}, chip(job.status, ENDS[job.status] ?? ""), job.reason ? make("small", {}, job.reason) : null)];
}
async function jobs() {
  const told = await ask("GET", `${api}/jobs`);
  by("jobs-count").textContent = `${told.running.length} running, ${told.total.toLocaleString()} waiting`;
  fill(by("jobs-running"), table(["What", "Whose", "Begun", "How far", ""], told.running.map(runs), "Nothing runs."));
  fill(by("jobs-waiting"), table(["Place", "What", "Whose", "Begins", ""], told.waiting.map(waits), "Nobody waits."));
  fill(by("jobs-ended"), table(["What", "Whose", "Ended", "Took", "How"], told.ended.map(over), "Nothing was done yet."));
  return 2;
}

// Devices.

const STATES = { ready: ["ready", "good"], busy: ["at work", "on"], starting: ["starting", ""], hopeless: ["does not come up", "bad"] };
function ofDevice(device) {
  const [words, sort] = STATES[device.state];
  const memory = `${bytes(device.memory_used)} of ${bytes(device.memory_total)}`;
  const does = device.leases.map((lease) => make("li", {}, `${lease.holder}${lease.waits ? " waits" : ""}${lease.alone ? ", alone" : ""}`,
    make("span", { class: "quiet" }, lease.waits ? `asked ${ago(lease.since)}` : `begun ${ago(lease.since)}`)));
  const held = device.held.map((model) => make("li", {}, model.title,
    make("span", { class: "quiet" }, `${bytes(model.bytes)}${model.in_use ? ", in use" : ""}${model.resting ? ", in main memory" : ""}`)));
  return make("div", { class: "card device" },
    make("div", { class: "who" }, make("div", {}, make("b", {}, device.device || "A device"),
      make("small", {}, [device.name, device.dtype, device.place].filter(Boolean).join(", "))), chip(words, sort)),
    make("div", { class: "meter" }, make("div", { class: "line" }, "Memory", make("b", {}, memory)),
      bar(device.memory_total ? device.memory_used / device.memory_total : 0, memory),
      make("small", {}, device.budget ? `models may hold ${bytes(device.budget)}` : "")),
    make("div", {}, make("h3", {}, "Does"), does.length ? make("ul", {}, ...does) : make("p", { class: "empty" }, "Nothing.")),
    make("div", {}, make("h3", {}, "Holds"), held.length ? make("ul", {}, ...held) : make("p", { class: "empty" }, "No model.")),
    make("small", {}, device.restarts ? `Its process died ${count(device.restarts, "time")} and was begun again.` : "Its process has not died since the start."));
}
async function devices() {
  const told = await ask("GET", `${api}/devices`);
  fill(by("devices-list"), ...told.devices.map(ofDevice));
  return 2;
}

// Disk.

function ofShare(person, most) {
  const parts = Object.entries(SORTS).filter(([sort]) => person.bytes[sort]);
  const name = person.name || (person.person ? "somebody" : "Nobody's, and the studio's own");
  const words = parts.map(([sort]) => `${sort} ${bytes(person.bytes[sort])}`).join(", ") || "nothing";
  return make("div", { class: "share" }, make("b", {}, name),
    make("div", { class: "bar large", role: "img", "aria-label": words },
      ...parts.map(([sort, colour]) => make("i", { style: `width:${100 * person.bytes[sort] / (most || 1)}%;background:${colour}` }))),
    make("span", {}, bytes(person.total)), make("small", {}, words));
}
async function disk(method = "GET") {
  const told = await ask(method, `${api}/disk`);
  by("disk-again").disabled = told.measuring;
  by("disk-when").textContent = told.measuring ? "being measured …" : told.measured_at
    ? `measured ${ago(told.measured_at)}, in ${told.seconds < 1 ? "less than a second" : long(told.seconds)}` : "";
  const used = told.total - told.free;
  const full = told.total ? used / told.total : 0;
  fill(by("disk-room"), make("div", { class: "meter" },
    make("div", { class: "line" }, make("b", {}, `${bytes(told.free)} free`), `of ${bytes(told.total)}`),
    bar(full, `${bytes(used)} of ${bytes(told.total)} are used`, full > 0.95), make("small", {}, make("code", {}, told.folder))));
  fill(by("disk-legend"), ...Object.entries(SORTS).map(([sort, colour]) => make("span", {}, make("i", { style: `background:${colour}` }), sort)));
  const most = Math.max(...told.people.map((each) => each.total), 0);
  const kept = told.people.filter((each) => each.total).map((each) => ofShare(each, most));
  const none = told.measured_at ? "Nobody keeps anything yet." : "It is being measured for the first time.";
  fill(by("disk-people"), ...(kept.length ? kept : [make("p", { class: "empty" }, none)]));
  fill(by("disk-rest"), table(["Name", "Size"], told.rest.map((each) => [make("code", {}, each.name), [bytes(each.bytes), "number"]]), "Nothing."));
  return told.measuring ? 1 : 0;
}
by("disk-again").addEventListener("click", async () => {
  try { again(await disk("POST")); } catch (error) { complain(error); }
});

// Audit log.

let offset = 0;
const filters = by("audit-filter");
function choose(select, choices, first) {
  const before = select.value;
  select.replaceChildren(make("option", { value: "" }, first), ...choices.map(([value, words]) => make("option", { value }, words)));
  select.value = before;
}
function asked(more = {}) {
  const given = Object.entries({ ...Object.fromEntries(new FormData(filters)), ...more });
  return new URLSearchParams(given.filter(([, value]) => value !== "")).toString();
}
const actor = (act) => act.name || (act.person ? `person ${act.person}` : act.act === "log in" ? "nobody known"
  : act.place === "command" ? "a command" : act.place ? "at home" : "the studio");
async function audit() {
  const told = await ask("GET", `${api}/audit?${asked({ offset, limit: SIZE })}`);
  choose(filters.person, told.people.map((each) => [String(each.id), each.name || (each.id ? `person ${each.id}` : "The studio, and nobody known")]), "Everybody");
  choose(filters.act, told.known.map((each) => [each, each]), "Everything");
  by("audit-file").href = `${root}${api}/audit.csv?${asked()}`;
  by("audit-days").textContent = told.days ? `kept for ${count(told.days, "day")}` : "kept for ever";
  fill(by("audit-acts"), table(["When", "Who", "From", "Did", "To what", "How it went"], told.acts.map((each) => [
    [clock(each.at), "number"], actor(each), each.place, each.act, each.thing,
    each.outcome === "done" ? chip("done", "good") : make("div", {}, chip("refused", "bad"), make("small", {}, each.outcome)),
  ]), "Nothing of this was noted."));
  by("audit-range").textContent = told.total ? `${(offset + 1).toLocaleString()} to ${(offset + told.acts.length).toLocaleString()} of ${told.total.toLocaleString()}` : "";
  by("audit-newer").disabled = offset === 0;
  by("audit-older").disabled = offset + told.acts.length >= told.total;
  return 0;
}
const turn = (by) => { offset = Math.max(0, offset + by); act(async () => {}); };
by("audit-newer").addEventListener("click", () => turn(-SIZE));
by("audit-older").addEventListener("click", () => turn(SIZE));
filters.addEventListener("change", () => { offset = 0; turn(0); });
filters.addEventListener("submit", (event) => event.preventDefault());

// Settings.

async function settings() {
  const told = await ask("GET", `${api}/settings`);
  by("settings-file").textContent = told.file;
  const wanted = told.settings.filter((each) => !by("settings-set").checked || each.source !== "default");
  fill(by("settings-list"), table(["Setting", "Value", "From", "Meaning"], wanted.map((each) => [
    make("div", {}, make("code", {}, each.name), make("small", {}, make("code", {}, each.variable))),
    make("div", {}, each.value ? make("code", {}, each.value) : make("span", { class: "quiet" }, "empty"),
      each.source !== "default" && !each.secret ? make("small", {}, `default ${each.default || "empty"}`) : null),
    chip(each.source, each.source === "default" ? "" : "on"), each.meaning,
  ]), "Nothing was set: all is as it is by itself."));
  return 0;
}
by("settings-set").addEventListener("change", () => act(async () => {}));

// Sections: the address says which is open; what is live is asked again while somebody looks.

const SECTIONS = { people, jobs, devices, disk, audit, settings };
let timer = 0;
const open = () => (location.hash.slice(1) in SECTIONS ? location.hash.slice(1) : "people");
function again(seconds) {
  clearTimeout(timer);
  if (seconds) timer = setTimeout(() => (document.hidden ? again(seconds) : show().catch(complain)), seconds * 1000);
}
async function show() {
  const name = open();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash !== `#${name}`) link.removeAttribute("aria-current");
    else if (!link.hasAttribute("aria-current")) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }
  for (const each of Object.keys(SECTIONS)) by(each).hidden = each !== name;
  const seconds = await SECTIONS[name]();
  if (name === open()) again(seconds);
}
by("person").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target, fields = Object.fromEntries(new FormData(form));
  act(async () => { showLink(fields.name, await ask("POST", "/people", fields)); form.reset(); });
});
addEventListener("hashchange", () => {
  complain({ message: "" });
  by("link").hidden = true;
  show().catch(complain);
  by(`${open()}-title`).focus({ preventScroll: true });
  scrollTo(0, 0);
});
show().catch(complain);
