// Who is logged in, and on a press what they may have and have used of it.
const button = element.querySelector("button"), panel = element.querySelector(".at-me");
const list = panel.querySelector("dl"), hint = panel.querySelector("p");
const made = (name, className, text) => {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
};
const size = (bytes) => bytes >= 1e9 ? (bytes / 1e9).toFixed(1) + " GB" : Math.ceil(bytes / 1e6) + " MB";
const plain = (number) => number.toLocaleString([], { maximumFractionDigits: 1 });
const long = (seconds) => {
  if (seconds >= 172800) return Math.round(seconds / 86400) + " days";
  const minutes = Math.ceil(seconds / 60), hours = Math.floor(minutes / 60);
  return hours ? hours + " h " + (minutes % 60) + " min" : minutes + " min";
};
let role = "administrator";
// A control that rests says why; components come and go, so that all are looked at now and then.
const WHY = { ".at-administrators": "For administrators", ".at-members": "Your role lets you look, not change anything" };
document.addEventListener("pointerover", () => {
  if (role === "administrator") return;
  for (const [of, why] of Object.entries(WHY))
    if (of !== ".at-members" || role === "viewer")
      for (const each of document.querySelectorAll(of + ":disabled:not([title])")) each.title = why;
});
const row = (name, used, limit, write, note, unit = "") => {
  const what = made("dt", "", name), value = made("dd", "");
  value.append(made("span", "", (limit ? write(used) + " of " + write(limit) : write(used)) + unit));
  const over = limit && used >= limit;
  if (limit) {
    const bar = made("div", "at-use" + (over ? " full" : "")), fill = made("i", "");
    fill.style.width = Math.min(100, 100 * used / limit) + "%";
    bar.append(fill);
    value.append(bar);
  }
  if (note) value.append(made("small", "", note));
  return [what, value];
};
const show = ({ person, quotas, used, room }) => {
  panel.querySelector("b").textContent = person.name;
  panel.querySelector("header small").textContent = person.role;
  const come = used.images_to_come ? plain(used.images_to_come) + " of them to come" : "";
  const again = (seconds) => seconds ? "room again in " + long(seconds) : "";
  list.replaceChildren(
    ...row("Waiting jobs", used.waiting_jobs, quotas.waiting_jobs, plain, ""),
    ...row("Images in 24 hours", used.images + used.images_to_come, quotas.images_a_day, plain,
      [come, again(room.images)].filter(Boolean).join(" · ")),
    ...row("Training in 30 days", used.training_hours, quotas.training_hours, plain, again(room.training), " h"),
    ...row("Disk", used.disk, quotas.disk, size, quotas.disk && used.disk >= quotas.disk ? "delete something, also in the trash" : ""));
  const free = Object.values(quotas).every((each) => !each);
  hint.textContent = free ? "Nothing of it is limited for you." : "";
  hint.hidden = !free;
};
const ask = async () => {
  try {
    const answer = await fetch("api/v1/me", { cache: "no-store" });
    if (!answer.ok) return;
    const me = await answer.json();
    button.lastElementChild.textContent = me.person.name;
    button.title = `${me.person.name}, ${me.person.role}`;
    role = me.person.role;
    const admin = document.querySelector("#at-admin-box a");
    if (admin) admin.hidden = role !== "administrator";
    show(me);
  } catch { /* the header says that the server is gone */ }
};
const turn = (open) => {
  panel.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  if (open) ask();
};
button.addEventListener("click", () => turn(panel.hidden));
document.addEventListener("pointerdown", (event) => { if (!panel.hidden && !element.contains(event.target)) turn(false); });
element.addEventListener("keydown", (event) => { if (event.key === "Escape" && !panel.hidden) { turn(false); button.focus(); } });
setInterval(() => { if (!panel.hidden && !document.hidden) ask(); }, 5000);
ask();
