// The picked picture of the gallery: large, with its settings and what can be done with it.
const $ = (selector) => element.querySelector(selector);
const image = $(".at-canvas > img"), pre = $(".at-facts pre"), viewer = $("dialog.at-viewer"), large = $("dialog.at-viewer img");
let shown = null;
const draw = () => {
  const state = props.value || {};
  shown = state.id || null;
  image.hidden = $(".at-acts").hidden = $(".at-facts").hidden = shown === null;
  $(".at-empty").hidden = shown !== null;
  if (shown === null) { image.removeAttribute("src"); return; }
  image.src = "outputs/" + shown + "/image";
  $(".download").href = "outputs/" + shown + "/download";
  $("[data-act=trash]").hidden = Boolean(state.trashed);
  $("[data-act=restore]").hidden = !state.trashed;
  pre.textContent = state.infotext || "";
  image.alt = state.prompt || "";
  $(".at-when").textContent = state.when || "";
  // On a phone this stands below the tiles, out of sight.
  const top = element.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight - 200) element.scrollIntoView({ block: "start" });
};
draw();
watch("value", draw);
image.addEventListener("click", () => { large.src = image.src; large.alt = image.alt; viewer.showModal(); });
viewer.addEventListener("click", () => viewer.close());
$(".at-acts").addEventListener("click", (event) => {
  const act = event.target.closest("[data-act]");
  if (!act || shown === null) return;
  if (act.dataset.act === "use") trigger("use_settings", { id: shown });
  else if (act.dataset.act === "upscale") trigger("upscale", { id: shown });
  else if (act.dataset.act === "edit") trigger("edit", { id: shown });
  else if (act.dataset.act === "trash") trigger("trash", { id: shown });
  else if (act.dataset.act === "restore") trigger("restore", { id: shown });
});
