// The page of the service: a sentence, its mention, a picture; the entities, and why.

const at = (id) => document.getElementById(id);
const text = at("text"), form = at("ask"), file = at("file");

/** The mention as JavaScript counts, in UTF-16 units; null while none is marked. */
let mention = null;
/** The picture: a Blob or null, and the address of its preview. */
let picture = null, preview = null;

const SHOWN = 8;
let examples = [], shownExamples = 0;

/** An element with attributes and children; texts are never read as HTML. */
function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** The service counts Unicode characters, a string UTF-16 units. */
const characters = (string, end) => [...string.slice(0, end)].length;

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  const said = await answer.json();
  if (!answer.ok) throw new Error([said.detail, said.hint].filter(Boolean).join("\n"));
  return said;
}

function show(error) {
  at("problem").textContent = error ? error.message : "";
  at("problem").hidden = !error;
}

// The mention

function marked(string, start, end) {
  const before = start > 60 ? "…" + string.slice(start - 59, start) : string.slice(0, start);
  const after = string.length - end > 60 ? string.slice(end, end + 59) + "…" : string.slice(end);
  return [before, make("mark", {}, string.slice(start, end)), after];
}

function setMention(start, end) {
  const words = start === null ? "" : text.value.slice(start, end);
  mention = words.trim() ? { start, end } : null;
  at("marked").replaceChildren(
    ...(mention ? marked(text.value, start, end) : ["No mention is marked yet."]));
}

function selected() {
  if (document.activeElement !== text || text.selectionStart === text.selectionEnd) return;
  let { selectionStart: start, selectionEnd: end, value } = text;
  while (start < end && /\s/.test(value[start])) start++;
  while (start < end && /\s/.test(value[end - 1])) end--;
  setMention(start, end);
}

document.addEventListener("selectionchange", selected);
text.addEventListener("select", selected);
text.addEventListener("input", () => {
  if (mention && text.value.slice(mention.start, mention.end) !== at("marked")
    .querySelector("mark")?.textContent) setMention(null);
});

// The picture

function setPicture(blob, name) {
  if (preview) URL.revokeObjectURL(preview);
  picture = blob;
  preview = blob ? URL.createObjectURL(blob) : null;
  at("preview").hidden = at("remove").hidden = !blob;
  if (blob) at("preview").src = preview; else at("preview").removeAttribute("src");
  at("picture-name").textContent = blob ? name : "Drop or paste one here, or choose a file.";
}

function takeFile(list) {
  const found = [...list].find((item) => item.type.startsWith("image/"));
  if (found) setPicture(found, found.name || "The pasted picture");
  else show(new Error("That is no picture."));
}

at("preview").addEventListener("error", () => {
  if (picture) at("picture-name").textContent += " (the browser cannot show it)";
  at("preview").hidden = true;
});
file.addEventListener("change", () => { if (file.files.length) takeFile(file.files); });
at("remove").addEventListener("click", () => { file.value = ""; setPicture(null); file.focus(); });
for (const name of ["dragover", "dragleave", "drop"])
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) takeFile(event.dataTransfer.files);
  });
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) { event.preventDefault(); takeFile(event.clipboardData.files); }
});

// The answer

const percent = (p) => (p === null ? "" : `${(100 * p).toFixed(1)} %`);

function thumbnail(kind, id, has, words) {
  if (!has) return make("div", { class: "absent" }, "no picture");
  const image = make("img", { alt: words, loading: "lazy",
    src: `/pictures/${kind}/${encodeURIComponent(id)}` });
  image.addEventListener("error", () =>
    image.replaceWith(make("div", { class: "absent" }, "picture not readable")));
  return image;
}

function bars(units, largest) {
  const list = make("dl", { class: "units" });
  for (const [unit, score] of Object.entries(units)) {
    const fill = make("span", score < 0 ? { class: "below" } : {});
    fill.style.width = `${(100 * Math.abs(score)) / largest}%`;
    list.append(make("dt", {}, unit), make("dd", { class: "bar", "aria-hidden": "true" }, fill),
      make("dd", { class: "number" }, score.toFixed(2)));
  }
  return list;
}

function entity(found, largest, best) {
  const about = make("div", {}, make("div", { class: "name" }, `${found.rank}. ${found.name}`),
    make("div", { class: "soft" }, found.id));
  if (found.probability !== null)
    about.append(make("div", { class: "likely" }, percent(found.probability)));
  about.append(make("div", { class: "soft" }, `S ${found.score.toFixed(3)}`));
  return make("li", { class: best ? "entity best" : "entity" },
    thumbnail("entities", found.id, found.has_picture, `Picture of ${found.name}`), about,
    bars(found.units, largest));
}

function none(found) {
  const words = found.answer === null ? "none best" : "none";
  return make("li", { class: `entity ${words}` },
    make("div", { class: "name" }, "None of these"),
    make("div", { class: "likely" }, percent(found.nil_probability)));
}

function fusion(alpha) {
  const shares = make("div", { class: "shares", "aria-hidden": "true" }), keys = make("p");
  for (const [source, weight] of Object.entries(alpha)) {
    const share = make("span");
    share.style.width = `${100 * weight}%`;
    shares.append(share);
    keys.append(make("span", { class: "key" }, `${source} ${percent(weight)}`));
  }
  return [make("h3", {}, "What the picture's feature is made of"), shares, keys];
}

function neighbours(list) {
  const shown = make("ul", { class: "neighbours" });
  for (const one of list)
    shown.append(make("li", {}, `${one.words} `,
      make("span", { class: "soft" }, one.weight.toFixed(2))));
  return [make("h3", {}, "Training mentions that it was repaired with"), shown];
}

function showResult(found) {
  const largest = Math.max(1e-9, ...found.entities.flatMap((e) => Object.values(e.units))
    .map(Math.abs));
  const best = found.entities.map((e) => found.answer !== null && e.id === found.answer);
  const items = found.entities.map((e, i) => entity(e, largest, best[i]));
  if (found.nil_probability !== null) items.push(none(found));
  at("entities").replaceChildren(...items);
  at("result-title").textContent = `Entities of “${found.text}”`;
  const added = found.entities.some((e) => "rerank" in e.units)
    ? "; S is their mean, and what re-ranking adds." : "; S is their mean.";
  at("result-about").textContent = (found.has_image
    ? "Its picture took part. Bars are the units' scores" : "Without a picture. Bars are the units' scores")
    + added;
  const why = [];
  for (const warning of found.warnings) why.push(make("p", { class: "warning" }, warning));
  if (found.alpha !== null) why.push(...fusion(found.alpha));
  if (found.neighbours.length) why.push(...neighbours(found.neighbours));
  else if (found.alpha !== null && "aggregated" in found.alpha)
    why.push(make("p", { class: "soft" }, "No training mention is similar enough: nothing of "
      + "others is in what is aggregated."));
  if (found.calibration !== "calibrated")
    why.push(make("p", { class: "soft" }, `Probabilities: ${found.calibration}`));
  at("why").replaceChildren(...why);
  at("result").hidden = false;
}

async function link() {
  show(null);
  if (!mention) {
    text.focus();
    throw new Error("Mark the mention first: select its words in the sentence.");
  }
  const body = new FormData();
  body.append("text", text.value);
  body.append("start", characters(text.value, mention.start));
  body.append("end", characters(text.value, mention.end));
  if (picture) body.append("image", picture, picture.name || "picture");
  const [found] = (await ask("/link", { method: "POST", body })).mentions;
  showResult(found);
  at("result-title").focus({ preventScroll: true });
  at("result").scrollIntoView({ block: "nearest" });
}

async function submit() {
  const button = at("link");
  button.disabled = true;
  at("result").setAttribute("aria-busy", "true");
  try {
    await link();
  } catch (error) {
    show(error);
  } finally {
    button.disabled = false;
    at("result").setAttribute("aria-busy", "false");
  }
}

form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit(); }
});

// Examples

/** Offsets of the service, in this string's units. */
const units = (string, count) => [...string].slice(0, count).join("").length;

async function tryExample(example) {
  show(null);
  text.value = example.text;
  setMention(units(example.text, example.start), units(example.text, example.end));
  setPicture(null);
  file.value = "";
  if (example.picture !== null) {
    const answer = await fetch(`/pictures/mentions/${encodeURIComponent(example.picture)}`);
    if (answer.ok) setPicture(await answer.blob(), "The example's picture");
  }
  form.scrollIntoView({ block: "nearest" });
  await submit();
}

function moreExamples() {
  for (const example of examples.slice(shownExamples, shownExamples + SHOWN)) {
    const [start, end] = [example.start, example.end].map((n) => units(example.text, n));
    const button = make("button", { type: "button", class: "button" }, "Try",
      make("span", { class: "hidden" }, ` ${example.text.slice(start, end)}`));
    button.addEventListener("click", () => tryExample(example));
    const words = example.text.slice(start, end);
    at("rows").append(make("tr", {},
      make("td", {}, thumbnail("mentions", example.picture, example.picture !== null,
        `Picture of the mention ${words}`)),
      make("td", {}, ...marked(example.text, start, end)),
      make("td", {}, example.answer_name), make("td", {}, button)));
  }
  shownExamples += SHOWN;
  at("more").hidden = shownExamples >= examples.length;
}

at("more").addEventListener("click", moreExamples);

async function begin() {
  let health = await ask("/health");
  while (health.status === "opening") {
    await new Promise((resolve) => setTimeout(resolve, 300));
    health = await ask("/health");
  }
  at("about").textContent = `${health.variant} links mentions to the `
    + `${health.entities.toLocaleString("en")} entities of ${health.dataset}.`;
  at("served").textContent = `Serving ${health.source}, ${health.variant}, seed ${health.seed}, `
    + `weights ${health.weights.slice(0, 12)}.`;
  at("picture-field").hidden = !health.reads_pictures;
  examples = (await ask("/examples")).examples;
  at("examples").hidden = examples.length === 0;
  moreExamples();
}

begin().catch(show);
