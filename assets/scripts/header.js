// Asks the server how it is, as long as somebody looks at the page.
const box = element.querySelector(".at-status");
const part = (className, ...children) => {
  const span = document.createElement("span");
  span.className = className;
  span.append(...children);
  return span;
};
const bold = (text) => { const b = document.createElement("b"); b.textContent = text; return b; };
const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
const show = (s) => {
  window.atelier = { ...window.atelier, answers: Boolean(s) };
  const dot = part("at-dot " + (!s ? "gone" : s.running ? "busy" : s.ready ? "ready" : ""));
  if (!s) { box.replaceChildren(part("", dot, "No answer from the server")); return; }
  const children = [part("at-device wide", s.ready ? s.device : "Getting ready …")];
  if (s.ready) {
    const meter = part("at-meter", document.createElement("i"));
    meter.firstChild.style.width = Math.round(100 * s.memory_used / s.memory_total) + "%";
    children.push(part("wide", "Memory", meter, gigabytes(s.memory_used) + " of " + gigabytes(s.memory_total) + " GB"));
  }
  const jobs = part("at-jobs", dot, bold(String(s.running)), part("running", " running"), part("waiting", ", ", bold(String(s.waiting)), " waiting"));
  jobs.classList.toggle("queue", s.waiting > 0);
  children.push(jobs);
  box.replaceChildren(...children);
};
const ask = async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch("status", { cache: "no-store" });
    if (answer.status === 401) location.reload();   // the session is over: to the login page
    show(answer.ok ? await answer.json() : null);
  } catch { show(null); }
};
ask();
setInterval(ask, 2000);
document.addEventListener("visibilitychange", ask);
