"use strict";

// Everything that comes from files is set as text, never as HTML.

const PAGE = 50;          // results asked for at a time
const POLL_MS = 2000;
const ANSWER_MS = 10000;  // a poll without an answer for this long has failed
const AT_ONCE = 2;        // uploads
const TRIES = 30;         // of an upload that the service has no room for

const byId = id => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// A text that stays the same stays selected.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// --- asking the service

class Refused extends Error {
  constructor(status, message, retryAfter, error) {
    super(message);
    this.status = status;
    this.error = error;
    this.retryAfter = retryAfter;
  }
}

async function ask(path, { timeoutMs, ...options } = {}) {
  for (;;) {
    const token = sessionStorage.getItem("token");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const signal = timeoutMs ? AbortSignal.timeout(timeoutMs) : null;
    const answer = await fetch(path, { ...options, headers, signal });
    if (answer.status !== 401) return answer;
    await askForToken(token);
  }
}

async function askForJson(path, options) {
  const answer = await ask(path, options);
  const document = await answer.json();
  // An image that cannot be classified has a result too.
  if (answer.ok || document.stored) return document;
  const retryAfter = Number(answer.headers.get("Retry-After"));
  throw new Refused(answer.status, document.message, retryAfter, document.error);
}

let tokenIsThere = null;

// One dialog for all requests that wait for it.
function askForToken(refused) {
  if (sessionStorage.getItem("token") !== refused) return Promise.resolve(); // there is another by now
  if (tokenIsThere) return tokenIsThere;
  byId("token-problem").textContent = refused ? "The service does not accept this token." : "";
  const dialog = byId("ask-token");
  tokenIsThere = new Promise(resolve => {
    byId("token-form").onsubmit = event => {
      event.preventDefault();
      const token = byId("token").value.trim();
      if (!token) return;
      sessionStorage.setItem("token", token);
      byId("token").value = "";
      tokenIsThere = null;
      dialog.close();
      resolve();
    };
  });
  dialog.showModal();
  return tokenIsThere;
}

byId("ask-token").addEventListener("cancel", event => event.preventDefault());

// --- the state

let maxUploadBytes = Infinity;
let positiveLabel = null;
let lastAnswer = null;

function showState(state) {
  maxUploadBytes = state.max_upload_bytes;
  positiveLabel = state.positive_label;
  setText(byId("limits"), `JPEG, PNG, BMP, TIFF, WebP or DICOM, up to ${size(maxUploadBytes)} each`);
  setText(byId("score-heading"), positiveLabel ? `P(${positiveLabel})` : "P(decision)");
  const problems = [...new Set([state.paused, ...state.problems])].filter(Boolean); // the reason first
  if (state.paused) setVerdict("bad", "Paused: no image is taken", problems);
  else if (!state.ok) setVerdict("bad", "Not working as it should", problems);
  else setVerdict("good", "Working", problems); // remarks
  const facts = [
    ["Waiting", state.waiting === 1 ? "1 image" : `${count(state.waiting)} images`],
    ["Model", state.artifact],
    ["Engine", `${state.engine}, ${state.threads} ${state.threads === 1 ? "thread" : "threads"}`],
    ["Bundle", state.bundle.slice(0, 12)],
    ["Last self-check", state.last_check ? moment(state.last_check) : "not yet"],
    ["Free disk", state.free_disk_mb >= 10000
      ? `${count(Math.round(state.free_disk_mb / 1000))} GB` : `${count(state.free_disk_mb)} MB`],
  ];
  if (state.temperature_c !== null)
    facts.push(["Temperature",
      `${state.temperature_c.toFixed(0)} °C${state.throttled ? ", slowed down" : ""}`]);
  if (state.dicom)
    facts.push(
      ["DICOM", `${count(state.dicom.received)} received, ${count(state.dicom.refused)} refused`
        + (state.dicom.turned_away ? `, ${count(state.dicom.turned_away)} turned away` : "")],
      ["Reports", `${count(state.dicom.reports_waiting)} waiting`
        + (state.dicom.reports_dead ? `, ${count(state.dicom.reports_dead)} not delivered` : "")]);
  facts.push(["Running since", moment(state.started)], ["Version", state.version]);
  setFacts(byId("facts"), facts, true);
}

function setVerdict(kind, text, problems) {
  byId("state").className = kind;
  const list = byId("problems");
  if (byId("verdict").textContent !== text) {
    byId("verdict").textContent = text;
    say(`State: ${[text, ...problems].join(". ")}`);
  }
  if ([...list.children].map(item => item.textContent).join("\n") !== problems.join("\n"))
    list.replaceChildren(...problems.map(problem => element("li", {}, problem)));
  list.hidden = !problems.length;
}

function setFacts(list, facts, inGroups = false) {
  const names = [...list.querySelectorAll("dt")].map(node => node.textContent);
  if (names.length === facts.length && facts.every(([name], n) => name === names[n])) {
    list.querySelectorAll("dd").forEach((node, n) => setText(node, facts[n][1]));
    return;
  }
  const pairs = facts.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  list.replaceChildren(...(inGroups ? pairs.map(pair => element("div", {}, ...pair)) : pairs.flat()));
}

// --- results

const results = new Map(); // by id
let shown = PAGE;          // how many at most
let hasOlder = false;
let isFirst = true;

function sortedIds() {
  return [...results.keys()].sort((one, other) => other - one);
}

function addNewest(document) {
  const fresh = document.results.filter(result => !results.has(result.stored.id));
  const newestKnown = Math.max(0, ...results.keys());
  const oldest = document.results.at(-1)?.stored.id;
  // More has come than one answer holds: what lies between is behind "show older".
  if (document.next !== null && oldest > newestKnown + 1 && results.size) {
    results.clear();
    shown = PAGE;
  }
  for (const result of document.results) results.set(result.stored.id, result);
  const ids = sortedIds();
  for (const id of ids.slice(shown)) results.delete(id);
  hasOlder = hasOlder && ids.length > PAGE || document.next !== null || ids.length > shown;
  drawRows(isFirst ? [] : fresh);
  if (!isFirst && fresh.length)
    say(fresh.length > 3 ? `${fresh.length} new results` : fresh.map(inWords).join(". "));
  isFirst = false;
}

async function showOlder() {
  const before = sortedIds().at(-1);
  const document = await askForJson(`/v1/predictions?limit=${PAGE}&before=${before}`);
  for (const result of document.results) results.set(result.stored.id, result);
  shown = Math.max(shown, results.size);
  hasOlder = document.next !== null;
  drawRows([]);
  const first = document.results[0];
  if (first) byId(`result-${first.stored.id}`).querySelector("button").focus();
}

// Rows keep their elements, and with them the focus and the selection.
function drawRows(fresh) {
  const body = byId("rows");
  const isNew = new Set(fresh.map(result => result.stored.id));
  const ids = sortedIds();
  const hadFocus = body.contains(document.activeElement);
  for (const row of [...body.children]) if (!results.has(Number(row.dataset.id))) row.remove();
  let next = body.firstElementChild;
  for (const id of ids) {
    if (next && Number(next.dataset.id) === id) {
      setText(next.querySelector("time"), moment(results.get(id).stored.finished)); // midnight adds the date
      next = next.nextElementSibling;
      continue;
    }
    const row = drawRow(results.get(id));
    if (isNew.has(id)) row.className = "new";
    body.insertBefore(row, next);
  }
  if (hadFocus && !body.contains(document.activeElement))
    body.lastElementChild?.querySelector("button").focus({ preventScroll: true });
  byId("results").hidden = !ids.length;
  byId("empty").hidden = ids.length > 0;
  byId("older").hidden = !hasOlder;
}

function drawRow(result) {
  const { stored } = result;
  const name = element("button", { type: "button", "aria-haspopup": "dialog" }, nameOf(stored));
  const cells = [
    element("th", { role: "rowheader", scope: "row" }, name),
    element("td", { role: "cell", class: "decision" }),
    element("td", { role: "cell", class: "score" }),
    element("td", { role: "cell", class: "remarks" }),
    element("td", { role: "cell", class: "time" },
      element("time", { datetime: stored.finished }, moment(stored.finished))),
  ];
  const [, decision, score, remarks] = cells;
  if (result.ok) {
    const kind = isPositive(result) ? " positive" : "";
    decision.textContent = result.label;
    decision.className += kind;
    score.append(element("div", { class: "scale" },
      element("span", {}, digits(result.score)), meter(result, kind)));
  }
  remarks.append(...marks(result));
  if (!result.ok) remarks.append(element("span", { class: "message" }, reasonOf(result)));
  return element("tr", { role: "row", id: `result-${stored.id}`, "data-id": stored.id }, ...cells);
}

// A row that moved between press and release would get no click: new rows wait for the release.
let isPressed = false;
let afterRelease = [];

function released() {
  return isPressed ? new Promise(resolve => afterRelease.push(resolve)) : Promise.resolve();
}

function release() {
  setTimeout(() => { // after the click
    isPressed = false;
    for (const resolve of afterRelease.splice(0)) resolve();
  });
}

byId("rows").addEventListener("pointerdown", event => { isPressed = event.button === 0; });
for (const kind of ["pointerup", "pointercancel", "dragend", "blur"]) addEventListener(kind, release);

byId("rows").addEventListener("click", event => {
  const row = event.target.closest("tr");
  if (!row) return;
  const name = row.querySelector("button");
  const selection = getSelection();
  const isSelecting = !selection.isCollapsed && row.contains(selection.anchorNode);
  if (isSelecting && !name.contains(event.target)) return; // text of the row was marked
  openDetail(results.get(Number(row.dataset.id)), name);
});

function meter(result, kind) {
  const value = element("div", { class: "value" });
  value.style.width = `${100 * result.score}%`;
  const box = element("div", { class: `meter${kind}`, "aria-hidden": "true" }, value);
  if (result.threshold !== null) {
    const line = element("div", { class: "threshold" });
    line.style.left = `${100 * result.threshold}%`;
    box.append(line);
    box.title = `decided at ${digits(result.threshold)}`;
  }
  return box;
}

function marks(result) {
  if (!result.ok)
    return [element("span", { class: "mark failed" }, result.error === "LeftOut" ? "left out" : "failed")];
  const nodes = [];
  if (result.uncertain) nodes.push(element("span", { class: "mark uncertain" }, "uncertain"));
  if (result.out_of_domain)
    nodes.push(element("span", { class: "mark outside",
      title: "The image is unlike those that the model was trained with." }, "out of domain"));
  return nodes.flatMap((node, n) => n ? [" ", node] : [node]);
}

function isPositive(result) {
  return result.threshold !== null && result.score >= result.threshold;
}

// A received object's name is its hash, of which the first digits are enough to tell it by.
function nameOf(stored) {
  return stored.via === "dicom" ? `DICOM ${stored.path.slice(0, 12)}` : stored.path;
}

function reasonOf(result) {
  return result.message.replace(`${result.stored.path}: `, "");
}

function inWords(result) {
  const name = nameOf(result.stored);
  if (!result.ok) return `${name}: ${marks(result)[0].textContent}, ${reasonOf(result)}`;
  const remarks = [result.uncertain && "uncertain", result.out_of_domain && "out of domain"];
  return [`${name}: ${result.label}, score ${digits(result.score)}`, ...remarks.filter(Boolean)].join(", ");
}

// --- one result

let pictureAddress = null;
let openResult = null;
let opener = null;

async function openDetail(result, button) {
  const { stored } = result;
  const dialog = byId("detail");
  openResult = stored.id;
  opener = button;
  byId("detail-name").textContent = stored.path;
  byId("detail-decision").replaceChildren(...(result.ok
    ? [element("strong", { class: `decision${isPositive(result) ? " positive" : ""}` }, result.label),
       ` · score ${digits(result.score)}` +
       (result.threshold === null ? " " : `, decided at ${digits(result.threshold)} `)]
    : []), ...marks(result));
  const facts = [];
  if (result.ok)
    for (const [label, score] of Object.entries(result.scores)) facts.push([`P(${label})`, digits(score)]);
  else facts.push(["Error", result.error]);
  facts.push(
    ["Received", moment(stored.received, true)],
    ["Finished", `${moment(stored.finished, true)}, ${stored.latency_ms.toFixed(1)} ms for the image`]);
  if (result.ok) facts.push(["Model", `${result.artifact}, ${result.engine}`]);
  facts.push(
    ["Bundle", stored.bundle.slice(0, 12)],
    ["Arrived by", { inbox: "inbox folder", http: "upload", dicom: "DICOM" }[stored.via] ?? stored.via],
    ["SHA-256 of the file", stored.content],
    ["Number", String(stored.id)]);
  setFacts(byId("detail-facts"), facts);
  const picture = byId("heatmap-picture");
  const text = byId("heatmap-text");
  picture.hidden = true;
  forgetPicture();
  text.className = result.ok ? "muted" : "warning";
  text.textContent = result.ok ? "Drawing the heat map …" : reasonOf(result);
  dialog.showModal();
  dialog.scrollTop = 0;
  if (!result.ok) return;
  try {
    const answer = await ask(`/v1/predictions/${stored.id}/heatmap`);
    const isOpen = () => openResult === stored.id; // another may be by now
    if (!answer.ok) {
      const { message } = await answer.json();
      if (isOpen()) text.textContent = `No heat map: ${message}`;
      return;
    }
    const data = await answer.blob();
    if (!isOpen()) return;
    forgetPicture();
    pictureAddress = URL.createObjectURL(data);
    picture.alt = `Heat map of ${stored.path}: the image in grey, coloured where it moved the score. ` +
      `Decision ${result.label}, score ${digits(result.score)}.`;
    picture.src = pictureAddress;
    picture.hidden = false;
    text.textContent = "Coloured: what moved the score. It does not show where an object is.";
  } catch {
    if (openResult === stored.id) text.textContent = "No heat map: the service does not answer.";
  }
}

function forgetPicture() {
  byId("heatmap-picture").removeAttribute("src");
  if (pictureAddress) URL.revokeObjectURL(pictureAddress);
  pictureAddress = null;
}

byId("detail").addEventListener("close", () => {
  if (byId("detail").open) return; // the event comes later than the closing: another result is shown
  openResult = null;
  forgetPicture();
  // The browser has given the focus back already, except to what a mouse opened.
  if (document.activeElement === document.body) opener.focus();
});
byId("detail-close").addEventListener("click", () => byId("detail").close());
byId("detail").addEventListener("click", event => {
  if (event.target === byId("detail")) byId("detail").close(); // beside it
});

// --- sending

const queue = [];
let sending = 0;

function send(files) {
  for (const file of files) {
    const text = element("span", { class: "text" }, "waiting to be sent");
    const item = element("li", {}, element("span", { class: "name" }, file.name), text);
    byId("uploads").append(item);
    queue.push({ file, item, text });
  }
  startSending();
}

async function startSending() {
  while (sending < AT_ONCE && queue.length) {
    sending++;
    sendOne(queue.shift()).finally(() => {
      sending--;
      startSending();
    });
  }
}

async function sendOne({ file, item, text }) {
  try {
    if (file.size > maxUploadBytes)
      throw new Refused(413, `it is larger than ${size(maxUploadBytes)}`);
    const result = await sendUntilTaken(file, text);
    item.remove();
    const isOld = results.has(result.stored.id);
    await poll();
    if (isOld) point(result);
  } catch (err) {
    item.className = "failed";
    text.textContent = err instanceof Refused ? err.message : "it could not be sent: no answer";
    say(`${file.name}: ${text.textContent}`);
    const button = element("button", { type: "button", "aria-label": `Remove ${file.name} from this list` }, "Remove");
    button.addEventListener("click", () => {
      item.remove();
      byId("files").focus();
    });
    item.append(button);
  }
}

async function sendUntilTaken(file, text) {
  for (let attempt = 1; ; attempt++) {
    text.textContent = "sending …";
    try {
      const path = `/v1/predictions?name=${encodeURIComponent(file.name)}`;
      return await askForJson(path, { method: "POST", body: file });
    } catch (err) {
      if (!(err instanceof Refused) || err.status !== 503 || attempt === TRIES) throw err;
      const why = err.error === "Busy" ? "the service has much to do" : err.message;
      text.textContent = `${why}; trying again`;
      await new Promise(resolve => setTimeout(resolve, 1000 * Math.min(err.retryAfter || 1, 10)));
    }
  }
}

// The image was sent before: show where its result stands.
function point(result) {
  const row = byId(`result-${result.stored.id}`);
  say(`${result.stored.path} was classified before: ${inWords(result)}`);
  if (!row) return;
  row.classList.remove("new");
  void row.offsetWidth; // begins the animation again
  row.classList.add("new");
  row.scrollIntoView({ block: "nearest" });
}

byId("files").addEventListener("change", () => {
  send(byId("files").files);
  byId("files").value = ""; // the same file can be chosen again
});

// A file that misses the box is not opened by the browser but taken as well. Both events must be
// cancelled: a drop that follows dragenter, as where the page has just moved, would open the file.
const holdsFiles = event => event.dataTransfer?.types.includes("Files");
for (const kind of ["dragenter", "dragover"])
  addEventListener(kind, event => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    byId("drop").classList.add("over");
  });
addEventListener("dragleave", event => {
  if (!event.relatedTarget) byId("drop").classList.remove("over"); // it left the window
});
addEventListener("drop", event => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  byId("drop").classList.remove("over");
  send(event.dataTransfer.files);
});

// --- words and numbers

function digits(score) {
  const text = score.toFixed(3); // more where it would look certain
  return (text === "1.000" || text === "0.000") && score % 1 ? score.toFixed(5) : text;
}

function count(number) {
  return number.toLocaleString("en");
}

function size(bytes) {
  return bytes >= 1e6 ? `${Math.floor(bytes / 1e6)} MB` : `${count(bytes)} bytes`;
}

// The date is left out where it is today's.
function moment(text, withDate = false) {
  const date = new Date(text);
  const two = number => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday && !withDate ? time : `${day} ${time}`;
}

function say(text) {
  byId("news").textContent = text;
}

// --- looking again and again

let timer = null;
let polling = null;

function poll() {
  clearTimeout(timer);
  polling ??= look().finally(() => {
    polling = null;
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(poll, POLL_MS);
  });
  return polling;
}

async function look() {
  try {
    const [state, newest] = await Promise.all(
      ["/v1/health", `/v1/predictions?limit=${PAGE}`].map(path => askForJson(path, { timeoutMs: ANSWER_MS })));
    lastAnswer = new Date();
    await released();
    showState(state);
    addNewest(newest);
  } catch (err) {
    const since = lastAnswer ? `since ${moment(lastAnswer.toISOString())}` : "yet";
    const why = err instanceof Refused ? err.message : `no answer ${since}`;
    setVerdict("bad", "The service does not answer", [`${why}; asking again every ${POLL_MS / 1000} s`]);
  }
}

byId("older").addEventListener("click", () => showOlder().catch(() => poll()));
byId("device").textContent = location.hostname === "localhost" || location.hostname.startsWith("127.")
  ? "on this device" : `on ${location.host}`;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else poll();
});
poll();
