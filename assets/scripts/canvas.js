// The canvas of the Edit tab: the picture, the mask over it, and what is being selected. The mask is
// kept at the picture's own size (mask.js); what is drawn here is only its view.
const $ = (selector) => element.querySelector(selector);
const editor = $(".at-editor"), board = $(".at-board"), hint = $(".at-board .at-empty"), foot = $(".at-size");
const brush = $(".at-brush"), paint = $(".at-paint"), selectionBar = $(".at-selection"), message = $(".at-message");
const TOOLS = ["brush", "eraser", "lasso", "polygon", "rectangle", "ellipse", "colour", "hand"];
const KEYS = { b: "brush", e: "eraser", l: "lasso", p: "polygon", r: "rectangle", o: "ellipse", c: "colour", h: "hand" };
let stage, layer, photo, tint, cursor, shapes;      // Konva's
let source = "", picture = null, sketch = null, mask = null, tool = "brush", selection = null;
let saved = { mask: "", source: "" }, dirty = { mask: false, source: false }, soft = { feather: 4 }, waiting = 0;

const say = (text, note) => { message.textContent = text || ""; message.hidden = !text; message.classList.toggle("note", Boolean(note)); };
const library = () => window.Konva ? Promise.resolve() : new Promise((done, failed) => {
  const script = document.createElement("script");
  script.src = "vendor/konva/konva.min.js"; script.onload = done; script.onerror = () => failed(new Error("the canvas library is not there"));
  document.head.append(script);
});
const loaded = (address) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image); image.onerror = () => failed(new Error("the picture could not be shown"));
  image.src = address;
});
const send = async (blob, kind, name) => {
  const query = new URLSearchParams({ kind, name });
  const answer = await fetch("inputs?" + query, { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail);
  return told;
};

// --- the picture ------------------------------------------------------------------------------
const open = async (hash) => {
  if (!hash || hash === source) return;
  source = hash;
  try {
    await library();
    const image = await loaded("inputs/" + hash);
    if (source !== hash) return;
    picture = image; sketch = null; mask = new Mask(image.naturalWidth, image.naturalHeight);
    saved = { mask: "", source: hash }; dirty = { mask: false, source: false };
    selection = null;
    if (!stage) build();
    photo.image(image);
    hint.hidden = true; editor.classList.add("ready");
    fit(); redraw();
  } catch (error) { say("This picture cannot be edited: " + error.message + "."); source = ""; }
};
const take = async (file) => {
  if (!file) return;
  say("Reading " + file.name + " …", true);
  try {
    const told = await send(file, "picture", file.name);
    say(told.notes.join(" "), true);
    await open(told.hash);
  } catch (error) { say(error.message); }
};

// --- the stage --------------------------------------------------------------------------------
const build = () => {
  stage = new Konva.Stage({ container: $(".at-konva"), width: board.clientWidth, height: board.clientHeight });
  layer = new Konva.Layer({ imageSmoothingEnabled: true });
  photo = new Konva.Image({ listening: false });
  tint = new Konva.Image({ listening: false, opacity: 0.62 });
  shapes = new Konva.Group();
  cursor = new Konva.Circle({ listening: false, stroke: "#fff", strokeWidth: 1.5, strokeScaleEnabled: false, shadowColor: "#000", shadowBlur: 2, visible: false });
  layer.add(photo, tint, shapes, cursor);
  stage.add(layer);
  stage.on("pointerdown", begin); stage.on("pointermove", go); stage.on("pointerup pointercancel", end);
  // Two quick presses count as a double one for the library, however far apart they are.
  stage.on("dblclick dbltap", () => {
    if (!selection || selection.kind !== "polygon" || selection.closed || selection.points.length < 4) return;
    const [[x0, y0], [x1, y1]] = selection.points.slice(-2);
    if (Math.hypot(x1 - x0, y1 - y0) * stage.scaleX() < 6) { selection.points.pop(); close(); }
  });
  stage.on("mouseleave", () => { cursor.visible(false); });
  stage.container().style.touchAction = "none";
  new ResizeObserver(() => { stage.size({ width: board.clientWidth, height: board.clientHeight }); }).observe(board);
  board.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;   // a plain wheel scrolls the page
    event.preventDefault();
    stage.setPointersPositions(event);
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, stage.getPointerPosition());
  }, { passive: false });
};
const fit = () => {
  const scale = Math.min(stage.width() / picture.naturalWidth, stage.height() / picture.naturalHeight) * 0.96;
  stage.scale({ x: scale, y: scale });
  stage.position({ x: (stage.width() - picture.naturalWidth * scale) / 2, y: (stage.height() - picture.naturalHeight * scale) / 2 });
  zoomed();
};
const zoom = (factor, at) => {
  if (!stage) return;
  const old = stage.scaleX(), next = Math.min(40, Math.max(0.02, old * factor));
  const point = at || { x: stage.width() / 2, y: stage.height() / 2 };
  stage.position({ x: point.x - (point.x - stage.x()) * next / old, y: point.y - (point.y - stage.y()) * next / old });
  stage.scale({ x: next, y: next });
  zoomed();
};
const zoomed = () => {
  foot.textContent = picture.naturalWidth + " × " + picture.naturalHeight + " · " + Math.round(stage.scaleX() * 100) + " %";
  layer.imageSmoothingEnabled(stage.scaleX() < 2);
  anchors();
};
// The tint shows the soft mask, as far as the edge will reach.
const redraw = () => {
  const canvas = tint.image() && tint.image().width === mask.width && tint.image().height === mask.height ? tint.image() : new OffscreenCanvas(mask.width, mask.height);
  const pixels = new ImageData(mask.width, mask.height), shown = mask.soft(drawing ? {} : soft);
  const { data, width } = mask;
  for (let i = 0; i < shown.length; i++) if (shown[i]) {
    // A light rim, so that the mask is seen on a ground of its own colour, too.
    const rim = data[i] && !(data[i - 1] && data[i + 1] && data[i - width] && data[i + width]);
    pixels.data.set(rim ? [255, 255, 255, 255] : [79, 70, 229, shown[i]], 4 * i);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  tint.image(canvas);
  layer.batchDraw();
};
const changed = () => { dirty.mask = true; redraw(); keepSoon(); };

// --- painting ---------------------------------------------------------------------------------
let drawing = null, touches = new Map(), pinch = null;
const where = () => { const p = stage.getRelativePointerPosition(); return [p.x, p.y]; };
const radius = () => Number(brush.value) / 2;
const begin = (event) => {
  const pointer = event.evt;
  board.focus({ preventScroll: true });
  if (pointer.pointerType === "touch") {
    touches.set(pointer.pointerId, [pointer.clientX, pointer.clientY]);
    if (touches.size === 2) { if (drawing && drawing.stroke) mask.undo(); drawing = null; pinch = spread(); redraw(); return; }
  }
  if (event.target.name && event.target.name() === "anchor") return;
  const [x, y] = where();
  if (tool === "hand" || pointer.button === 1 || held) { drawing = { pan: [pointer.clientX, pointer.clientY], from: stage.position() }; return; }
  if (pointer.button) return;
  if (tool === "brush" || tool === "eraser") {
    mask.keep();
    drawing = { stroke: [x, y], value: tool === "brush" ? 255 : 0 };
    mask.segment(x, y, x, y, radius(), drawing.value);
    changed();
  } else if (tool === "colour") {
    drawing = { colour: [x, y] };
    stain(x, y, x, y);
  } else if (tool === "polygon") {
    if (!selection || selection.kind !== "polygon" || selection.closed) selection = { kind: "polygon", points: [], closed: false };
    selection.points.push([Math.round(x), Math.round(y)]);
    anchors();
  } else {
    selection = { kind: tool, points: tool === "lasso" ? [[x, y]] : [[Math.round(x), Math.round(y)], [Math.round(x), Math.round(y)]], closed: false };
    drawing = { select: true };
  }
};
const go = (event) => {
  const pointer = event.evt;
  if (touches.has(pointer.pointerId)) touches.set(pointer.pointerId, [pointer.clientX, pointer.clientY]);
  if (pinch && touches.size === 2) {
    const now = spread(), box = board.getBoundingClientRect();
    stage.position({ x: stage.x() + now.x - pinch.x, y: stage.y() + now.y - pinch.y });
    zoom(now.size / pinch.size, { x: now.x - box.left, y: now.y - box.top });
    pinch = now;
    return;
  }
  const [x, y] = where();
  const paints = ["brush", "eraser", "colour"].includes(tool);
  cursor.setAttrs({ x, y, radius: radius(), visible: paints && pointer.pointerType !== "touch" });
  if (!drawing) return;
  if (drawing.pan) stage.position({ x: drawing.from.x + pointer.clientX - drawing.pan[0], y: drawing.from.y + pointer.clientY - drawing.pan[1] });
  else if (drawing.stroke) { mask.segment(...drawing.stroke, x, y, radius(), drawing.value); drawing.stroke = [x, y]; changed(); }
  else if (drawing.colour) { stain(...drawing.colour, x, y); drawing.colour = [x, y]; }
  else if (drawing.select) {
    if (selection.kind === "lasso") {
      const [lastX, lastY] = selection.points[selection.points.length - 1];
      if (Math.hypot(x - lastX, y - lastY) * stage.scaleX() > 4) selection.points.push([x, y]);
    } else selection.points[1] = [Math.round(x), Math.round(y)];
    anchors();
  }
};
const end = (event) => {
  touches.delete(event.evt.pointerId);
  if (touches.size < 2) pinch = null;
  const done = drawing;
  drawing = null;
  if (done && done.select) close();
  else if (done && done.stroke) redraw();
};
const spread = () => {
  const [[x0, y0], [x1, y1]] = [...touches.values()];
  return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, size: Math.max(1, Math.hypot(x1 - x0, y1 - y0)) };
};
// Colours are painted into a copy of the picture: a red blob becomes a red thing.
const stain = (x0, y0, x1, y1) => {
  if (!sketch) {
    sketch = new OffscreenCanvas(mask.width, mask.height);
    sketch.getContext("2d").drawImage(picture, 0, 0);
    photo.image(sketch);
  }
  const context = sketch.getContext("2d");
  context.strokeStyle = paint.value; context.lineWidth = 2 * radius(); context.lineCap = "round";
  context.beginPath(); context.moveTo(x0, y0); context.lineTo(x1 + 0.001, y1); context.stroke();
  dirty.source = true;
  layer.batchDraw();
  keepSoon();
};

// --- selections: points stay movable until they are applied --------------------------------------
const simplified = (points, tolerance) => {
  if (points.length < 3) return points;
  const [a, b] = [points[0], points[points.length - 1]];
  let worst = 0, at = 0;
  points.forEach(([x, y], i) => {
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
    const away = length ? Math.abs((b[0] - a[0]) * (a[1] - y) - (a[0] - x) * (b[1] - a[1])) / length : Math.hypot(x - a[0], y - a[1]);
    if (away > worst) { worst = away; at = i; }
  });
  if (worst <= tolerance) return [a, b];
  return [...simplified(points.slice(0, at + 1), tolerance).slice(0, -1), ...simplified(points.slice(at), tolerance)];
};
const close = () => {
  if (!selection) return;
  selection.closed = true;
  if (selection.kind === "lasso") selection.points = simplified(selection.points, 1.5 / stage.scaleX()).map(([x, y]) => [Math.round(x), Math.round(y)]);
  const [[x0, y0], last] = [selection.points[0], selection.points[selection.points.length - 1]];
  const flat = selection.points.length < 3 && (selection.kind === "polygon" || selection.kind === "lasso" || x0 === last[0] || y0 === last[1]);
  if (flat) selection = null;
  anchors();
};
const corners = () => {
  const [[x0, y0], [x1, y1]] = selection.points;
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
};
const boxed = () => selection.kind === "rectangle" || selection.kind === "ellipse";
const anchors = () => {
  if (!shapes) return;
  shapes.destroyChildren();
  const shown = selection && selection.points.length;
  editor.classList.toggle("selecting", Boolean(shown));
  selectionBar.hidden = !(shown && selection.closed);
  if (!shown) { layer.batchDraw(); return; }
  const scale = stage.scaleX(), points = boxed() ? corners() : selection.points;
  const look = { stroke: "#fff", strokeWidth: 1.5, strokeScaleEnabled: false, shadowColor: "#000", shadowBlur: 3, fill: "rgba(99,102,241,.25)" };
  const draw = () => selection.kind === "ellipse"
    ? { x: (points[0][0] + points[2][0]) / 2, y: (points[0][1] + points[2][1]) / 2, radiusX: Math.abs(points[2][0] - points[0][0]) / 2, radiusY: Math.abs(points[2][1] - points[0][1]) / 2 }
    : { points: points.flat() };
  shapes.add(selection.kind === "ellipse" ? new Konva.Ellipse({ ...look, ...draw(), listening: false }) : new Konva.Line({ ...look, ...draw(), closed: selection.closed || boxed(), listening: false }));
  points.forEach(([x, y], i) => {
    const anchor = new Konva.Circle({ name: "anchor", x, y, radius: 5 / scale, hitStrokeWidth: 18 / scale, fill: "#fff", stroke: "#4f46e5", strokeWidth: 1.5 / scale, draggable: true });
    anchor.on("dragmove", () => {
      const [px, py] = [Math.round(anchor.x()), Math.round(anchor.y())];
      if (boxed()) {
        const [[x0, y0], [x1, y1]] = selection.points;
        selection.points = [[i === 0 || i === 3 ? px : x0, i < 2 ? py : y0], [i === 1 || i === 2 ? px : x1, i > 1 ? py : y1]];
        points.splice(0, 4, ...corners());
      } else selection.points[i] = points[i] = [px, py];
      shapes.children[0].setAttrs(draw());
    });
    anchor.on("dragend", anchors);
    if (selection.kind === "polygon" && i === 0 && !selection.closed) anchor.on("click tap", close);
    shapes.add(anchor);
  });
  layer.batchDraw();
};
const apply = (mode) => {
  if (!selection) return;
  mask.keep();
  const rows = selection.kind === "ellipse" ? ellipseRows(...selection.points) : polygonRows(boxed() ? corners() : selection.points);
  mask.combine(rows, mode);
  selection = null;
  anchors();
  changed();
};
const discard = () => { selection = null; anchors(); };

// --- the bar ------------------------------------------------------------------------------------
const choose = (name) => {
  tool = name;
  for (const button of editor.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  editor.dataset.tool = name;
  if (selection && selection.kind !== name && !selection.closed) discard();
  if (cursor) cursor.visible(false);
};
const size = (value) => { brush.value = Math.round(value); $(".at-brush-size").textContent = brush.value; };
const acts = {
  undo: () => { mask.undo(); changed(); }, redo: () => { mask.redo(); changed(); },
  clear: () => { mask.keep(); mask.fill(0); changed(); if (sketch) { sketch = null; photo.image(picture); dirty.source = false; saved.source = source; layer.batchDraw(); } },
  fill: () => { mask.keep(); mask.fill(255); changed(); }, invert: () => { mask.keep(); mask.invert(); changed(); },
  fit: () => fit(), larger: () => zoom(1.25), smaller: () => zoom(0.8),
  add: () => apply("add"), subtract: () => apply("subtract"), intersect: () => apply("intersect"), discard,
  save: async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await mask.png()); link.download = "mask.png"; link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  },
};
editor.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tool], [data-act]");
  if (!button || (!mask && button.dataset.act)) return;
  if (button.dataset.tool) choose(button.dataset.tool); else acts[button.dataset.act]();
});
brush.addEventListener("input", () => size(brush.value));
for (const input of element.querySelectorAll(".at-open")) input.addEventListener("change", () => { take(input.files[0]); input.value = ""; });
$(".at-mask-open").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  event.target.value = "";
  if (!file || !mask) return;
  try {
    const told = await send(file, "mask", file.name);
    const shape = told.width / told.height / (mask.width / mask.height);
    if (Math.abs(shape - 1) > 0.02) throw new Error("The mask is " + told.width + "x" + told.height + ", but the picture " + mask.width + "x" + mask.height + "; use one of its size.");
    mask.keep(); mask.read(await loaded("inputs/" + told.hash)); changed();
    say(told.notes.join(" "), true);
  } catch (error) { say(error.message); }
});
let held = false;
board.addEventListener("keydown", (event) => {
  if (!mask) return;
  const key = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
  if (control && key === "z") (event.shiftKey ? acts.redo : acts.undo)();
  else if (control && key === "y") acts.redo();
  else if (control && key === "i") acts.invert();
  else if (control) return;
  else if (key === " ") held = true;
  else if (key === "enter") selection && !selection.closed ? close() : apply(event.shiftKey ? "subtract" : "add");
  else if (key === "escape" && selection) discard();
  else if (key === "delete" || key === "backspace") { if (selection) discard(); else acts.clear(); }
  else if (key === "[") size(Math.max(1, radius() * 2 / 1.25 - 1));
  else if (key === "]") size(Math.min(512, radius() * 2 * 1.25 + 1));
  else if (key === "+" || key === "=") zoom(1.25);
  else if (key === "-") zoom(0.8);
  else if (key === "0") fit();
  else if (KEYS[key]) choose(KEYS[key]);
  else return;
  event.preventDefault();
  event.stopPropagation();
});
board.addEventListener("keyup", (event) => { if (event.key === " ") held = false; });
for (const name of ["dragover", "drop"]) board.addEventListener(name, (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault(); event.stopPropagation();
  if (name === "drop") take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData ? event.clipboardData.files : [])].find((f) => f.type.startsWith("image/"));
  if (file && board.offsetParent) { event.preventDefault(); take(file); }
});

// What was worked on is there again after a reload; a mask is kept soon after the last stroke.
const remember = () => { try { sessionStorage.setItem("atelier-canvas", JSON.stringify(saved)); } catch { /* private mode */ } };
const remembered = () => { try { return JSON.parse(sessionStorage.getItem("atelier-canvas") || "{}"); } catch { return {}; } };
let keeping = 0;
const keepSoon = () => { clearTimeout(keeping); keeping = setTimeout(() => { if (!drawing && !selection) window.atelier.settle().catch(() => {}); }, 1500); };

// --- to and from the page -------------------------------------------------------------------------
window.atelier = window.atelier || {};
// Hashes of the source and the mask as they are now; what is not on the server yet is sent first.
window.atelier.settle = async () => {
  if (!mask) return ["", ""];
  if (selection && selection.closed) apply("add");   // what is selected is meant
  try {
    if (dirty.source && sketch) saved.source = (await send(await sketch.convertToBlob({ type: "image/png" }), "picture", "The sketch")).hash;
    if (dirty.mask) saved.mask = mask.empty ? "" : (await send(await mask.png(), "mask", "The mask")).hash;
    dirty = { mask: false, source: false };
    remember();
    return [saved.source, saved.mask];
  } catch (error) { say("The mask could not be sent: " + error.message); throw error; }
};
window.atelier.soften = (feather, grow, mode) => {
  soft = { feather, grow, invert: mode === "not masked" };
  clearTimeout(waiting);
  waiting = setTimeout(() => { if (mask) redraw(); }, 120);
};
const show = async ({ source: hash, mask: painted }) => {
  if (!hash) return;
  source = "";
  await open(hash);
  if (painted && mask && source === hash) {
    try { mask.read(await loaded("inputs/" + painted)); saved.mask = painted; redraw(); }
    catch { say("The mask of this picture is not here any more."); }
  }
  remember();
};
choose("brush");
if (props.value && props.value.source) show(props.value); else show(remembered());
watch("value", () => show(props.value || {}));
