// Loaded once with the page: theme, keys, and which jobs belong to this browser tab.
() => {
  const TABS = ["at-", "at-edit-", "at-extras-", "at-reader-", "at-score-", "at-tune-", "at-train-"];   // what the ids of each tab's elements begin with
  const store = (area, key, value) => { try { area.setItem(key, value); } catch { /* private mode */ } };
  const read = (area, key) => { try { return area.getItem(key); } catch { return null; } };
  window.atelier = { ...window.atelier,
    theme(name) {
      document.body.classList.toggle("dark", name === "dark");
      store(localStorage, "atelier-theme", name);
    },
    // A tab keeps its own jobs over a reload; a new tab begins with the last job of the browser.
    jobs(tab) {
      const own = read(sessionStorage, `atelier-${tab}-jobs`);
      return own || `{"borrowed": ${read(localStorage, `atelier-${tab}-jobs`) || "[]"}}`;
    },
    remember(tab, ids) {
      store(sessionStorage, `atelier-${tab}-jobs`, JSON.stringify(ids));
      store(localStorage, `atelier-${tab}-jobs`, JSON.stringify(ids.slice(-1)));
    },
  };
  const chosen = read(localStorage, "atelier-theme");
  if (chosen) window.atelier.theme(chosen);
  const press = (id) => {
    const root = document.getElementById(id);
    const button = root && (root.matches("button") ? root : root.querySelector("button"));
    if (button && !button.disabled && button.offsetParent) button.click();
  };
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      // The text box reports its text when it is left.
      const active = document.activeElement;
      if (active && active.blur) { active.blur(); active.focus(); }
      setTimeout(() => { for (const tab of TABS) press(tab + "run"); }, 60);
    } else if (event.key === "Escape" && !document.querySelector("[aria-expanded=true]")) {
      if (document.querySelector(".at-editor.selecting")) return;
      // A training is everybody's and hours long: a key that closes things must not end it.
      for (const tab of TABS) if (tab !== "at-tune-") press(tab + "cancel");
    }
  }, true);
}
