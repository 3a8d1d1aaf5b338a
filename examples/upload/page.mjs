import { newId, newQueue, textOf, upload, watch } from "./client/progress.mjs";

const AT_ONCE = 3;        // uploads that run at the same time
const TRACE_LINES = 300;  // lines that are kept of what was sent and heard
const SOURCE = { url: "progress-stream", pollUrl: "progress" };

const TITLE = document.title;
const STATES = {
  queued: "Waiting", sending: "Sending", receiving: "Receiving", processing: "Processing",
  done: "Done", error: "Failed", cancelled: "Cancelled",
};
const isRunning = phase => ["sending", "receiving", "processing"].includes(phase);
const isOver = phase => ["done", "error", "cancelled"].includes(phase);

const REFUSALS = {
  400: "The server does not accept it.",
  401: "You are not allowed to do this. Sign in first.",
  403: "You are not allowed to do this.",
  404: "There is nothing at this address of the server.",
  405: "The server does not take this at this address.",
  408: "It came too slowly for the server.",
  411: "The server wants to know the size first.",
  413: "It is too large for the server.",
  415: "The server does not accept this kind of file.",
  429: "The server is busy. Try again later.",
  500: "The server failed.",
  502: "What is behind the server failed. Try again later.",
  503: "The server is busy. Try again later.",
  504: "The server took too long. Try again later.",
  507: "The server has no room for it.",
};

function inBytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; count >= 999.5 && unit < units.length - 1; unit++) count /= 1000;
  return `${count.toFixed(unit && count < 99.95 ? 1 : 0)}\u00a0${units[unit]}`;
}

function inTime(seconds) {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 60) return `${whole}\u00a0s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${whole % 60}\u00a0s`;
  return `${Math.floor(whole / 3600)}\u00a0h ${Math.floor(whole % 3600 / 60)}\u00a0min`;
}

const files = count => count === 1 ? "1 file" : `${count} files`;

/** What is known of numbers in a line; nothing takes the place of what is not. */
const listed = (...facts) => facts.filter(Boolean).join("\u00a0· ");

function inNumbers({ loaded, total, rate, remaining }) {
  const [part, unit] = inBytes(loaded).split("\u00a0"), whole = total === undefined ? "" : inBytes(total);
  return listed(
    whole ? `${whole.endsWith(`\u00a0${unit}`) ? part : inBytes(loaded)} of ${whole}` : inBytes(loaded),
    rate > 0 && `${inBytes(rate)}/s`,
    remaining > 0 && remaining < 360_000 && `${inTime(remaining)} left`,
  );
}

/** Why there was an error, in words; what the server says itself comes last. */
function inWords({ reason, status, text }, isUpload) {
  if (reason === "file") return "The file cannot be read: it has changed since it was chosen, or it is a folder.";
  if (reason === "line") return "The line to the server was lost.";
  const refused = isUpload ? "The server refused it." : "The server refused to send it.";
  const words = REFUSALS[status] ?? (status >= 500 ? REFUSALS[500] : refused);
  return text ? `${words} It says: “${text}”` : words;
}

function show(bar, share) {
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

const inPercent = share => share === undefined ? "" : `${Math.floor(share * 100)}\u00a0%`;

let saying = [];

/** Says something aloud, once; what comes together is said together. */
function say(text) {
  saying.push(text);
  if (saying.length > 1) return;
  queueMicrotask(() => {
    document.querySelector("#said").textContent = saying.join(" ");
    saying = [];
  });
}

/** What was sent and heard. */
const trace = (() => {
  const details = document.querySelector("#trace"), list = details.querySelector("ol");
  const start = performance.now();
  let lines = [];
  const add = line => {
    const item = document.createElement("li"), time = document.createElement("time"), text = document.createElement("code");
    time.textContent = line.time;
    text.textContent = line.text;
    item.append(time, " ", line.name, " ", text);
    list.prepend(item);
    while (list.children.length > TRACE_LINES) list.lastChild.remove();
  };
  // Nobody pays for what is folded away.
  details.addEventListener("toggle", () => {
    list.replaceChildren();
    if (details.open) lines.forEach(add);
  });
  return (name, text) => {
    const line = { time: ((performance.now() - start) / 1000).toFixed(1), name, text };
    lines = [...lines.slice(1 - TRACE_LINES), line];
    if (details.open) add(line);
  };
})();

/** A transfer in a list. */
class Row {
  phase = "queued"; numbers = null; outcome = null; lost = null; reached = 0;
  #parts; #timer; #began; #processedSince; #isUpload; #home; #onchange;

  /** `home` has the focus after the row's buttons. */
  constructor({ name, size, isUpload, home, onchange, retry, cancel }) {
    this.name = name;
    this.size = size;
    this.#isUpload = isUpload;
    this.#home = home;
    this.#onchange = onchange;
    this.element = document.querySelector("#row").content.firstElementChild.cloneNode(true);
    const find = selector => this.element.querySelector(selector);
    this.#parts = {
      state: find(".state"), percent: find(".percent"), bar: find("progress"), facts: find(".facts"),
      retry: find(".retry"), cancel: find(".cancel"),
    };
    // The end of a long name tells more than its middle.
    const ending = name.length > 16 ? name.slice(-8) : "";
    find(".stem").textContent = name.slice(0, name.length - ending.length);
    find(".ending").textContent = ending;
    find(".name").title = name;
    this.#parts.bar.setAttribute("aria-label", `${isUpload ? "Upload" : "Download"} of ${name}`);
    for (const [button, word, action] of [[this.#parts.retry, "Retry", retry], [this.#parts.cancel, "Cancel", cancel]]) {
      button.setAttribute("aria-label", `${word} ${name}`);
      button.addEventListener("click", action);
    }
  }

  trace = line => trace(this.name, line);

  /** Between 0 and 1, where it is known. */
  get share() {
    if (this.phase === "done") return 1;
    if (this.phase === "processing") return this.#isUpload ? 1 : undefined;
    const { loaded, total } = this.numbers ?? {};
    return total > 0 ? Math.min(loaded / total, 1) : undefined;
  }

  enter(phase) {
    this.phase = phase;
    this.numbers = this.lost = null;
    if (phase === "queued") {
      this.outcome = null;
      this.reached = 0;
    }
    if (phase === "sending" || phase === "receiving") this.#began = performance.now();
    if (phase === "processing") this.#processedSince = performance.now();
    clearInterval(this.#timer);
    if (phase === "processing") this.#timer = setInterval(() => this.render(), 1000);
    // With the end comes what there is to say of it.
    if (!isOver(phase)) this.render();
  }

  count(numbers) {
    this.lost = null;
    if (this.phase !== "processing") this.numbers = numbers;
    this.reached = this.share ?? this.reached;
    this.render();
  }

  lose(wait) {
    this.numbers = null;
    this.lost = wait;
    this.render();
  }

  end(outcome) {
    this.outcome = outcome;
    this.seconds = (performance.now() - this.#began) / 1000;
    this.render();
  }

  /** How it ended, to be said aloud. */
  get ending() {
    return `${this.name}: ${STATES[this.phase]}. ${this.#facts()}`;
  }

  #facts() {
    const { phase, lost, numbers, outcome, size } = this;
    if (lost !== null && !isOver(phase)) {
      return lost ? `The server does not answer. Asked again in ${inTime(lost / 1000)}.`
        : "The line was lost. Asking the server what has come of it.";
    }
    const ofSize = size === undefined ? "" : inBytes(size);
    switch (phase) {
      case "sending": case "receiving": return numbers ? inNumbers(numbers) : ofSize;
      case "processing": {
        const seconds = Math.floor((performance.now() - this.#processedSince) / 1000);
        return listed(`${ofSize} sent, the server works on it`, seconds > 0 && inTime(seconds));
      }
      case "done": {
        const lasted = this.seconds >= 1 && `in ${inTime(this.seconds)}, ${inBytes(size / this.seconds)}/s on average`;
        const kept = outcome.reason === "line" && "The line was lost, but the server has all of it.";
        return kept || (lasted ? `${ofSize} ${lasted}` : ofSize);
      }
      case "error": return inWords(outcome, this.#isUpload);
      default: return ofSize;
    }
  }

  render() {
    const { state, percent, bar, facts, retry, cancel } = this.#parts;
    const { phase, share } = this, isLost = this.lost !== null && !isOver(phase);
    this.element.dataset.phase = phase;
    this.element.classList.toggle("lost", isLost);
    state.textContent = isLost ? "No answer" : STATES[phase];
    const isCounted = phase === "sending" || phase === "receiving";
    percent.textContent = isCounted && !isLost ? inPercent(share) : "";
    bar.hidden = !isRunning(phase);
    show(bar, isCounted ? share : undefined);
    facts.textContent = this.#facts();
    const hadFocus = [retry, cancel].includes(document.activeElement);
    retry.hidden = phase !== "error" && phase !== "cancelled";
    cancel.hidden = isOver(phase);
    this.#onchange();
    // What was hidden until now may have to be shown first.
    if (hadFocus) queueMicrotask(() => (!retry.hidden ? retry : !cancel.hidden ? cancel : this.#home).focus());
  }
}

/** Whether the server answers about none of those that run. */
function isLost(rows) {
  const running = rows.filter(row => isRunning(row.phase));
  return running.length > 0 && running.every(row => row.lost !== null);
}

/** All uploads in one bar: those that were chosen since the last time that none ran. */
class Uploads {
  #section = document.querySelector("#uploads"); #rows = []; #batch = []; #queue = newQueue(AT_ONCE); #quarter = 0;

  constructor() {
    const find = selector => this.#section.querySelector(selector);
    this.parts = {
      all: find(".all"), sum: find(".all .sum"), percent: find(".all .percent"), bar: find(".all progress"),
      facts: find(".all .facts"), cancel: find(".cancel-all"), clear: find(".clear"), list: find(".rows"), input: find("input"),
      note: find(".note"),
    };
    this.parts.cancel.addEventListener("click", () => {
      for (const row of this.#rows) row.cancel();
      this.parts.input.focus();
    });
    this.parts.clear.addEventListener("click", () => {
      for (const row of this.#rows.filter(row => isOver(row.phase))) row.element.remove();
      this.#rows = this.#rows.filter(row => !isOver(row.phase));
      this.#batch = this.#batch.filter(row => !isOver(row.phase));
      this.parts.input.focus();
      update();
    });
  }

  get active() {
    return this.#rows.filter(row => !isOver(row.phase));
  }

  /** Of what was not cancelled and has not failed. */
  get share() {
    const rows = this.#batch.filter(row => row.phase !== "error" && row.phase !== "cancelled");
    const total = rows.reduce((sum, row) => sum + row.size, 0);
    // One whose server does not answer has not lost what it had sent.
    return total > 0 ? rows.reduce((sum, row) => sum + row.size * (row.share ?? row.reached), 0) / total : undefined;
  }

  get outcome() {
    const count = phase => this.#batch.filter(row => row.phase === phase).length;
    return { done: count("done"), failed: count("error"), cancelled: count("cancelled") };
  }

  /** What has become of them so far. */
  get sum() {
    const { done, failed, cancelled } = this.outcome;
    if (this.active.length > 0) return `${done} of ${files(this.#batch.length)} sent`;
    return listed(done > 0 && `${files(done)} sent`, failed > 0 && `${failed} failed`, cancelled > 0 && `${cancelled} cancelled`);
  }

  /** Adds files, each with the name that is shown. */
  add(chosen) {
    this.note("");
    if (chosen.length === 0) return;
    if (this.active.length === 0) {
      this.#batch = [];
      this.#quarter = 0;
    }
    // What is new is on top, in its own order.
    const last = this.#batch.at(-1)?.element;
    const before = last ? last.nextElementSibling : this.parts.list.firstElementChild;
    const rows = chosen.map(file => this.#row(file));
    this.#rows.push(...rows);
    this.#batch.push(...rows);
    for (const row of rows) {
      this.parts.list.insertBefore(row.element, before);
      row.start();
    }
    say(`Sending ${files(rows.length)}.`);
  }

  /** Says what there is to say of what was chosen; nothing takes it back. */
  note(text) {
    this.parts.note.textContent = text;
    this.parts.note.hidden = !text;
    if (text) say(text);
  }

  #row({ name, file }) {
    let sending;
    const row = new Row({
      name, size: file.size, isUpload: true, home: this.parts.input, onchange: update,
      retry: () => {
        this.#join(row);
        sending.retry();
      },
      cancel: () => sending.cancel(),
    });
    row.cancel = () => isOver(row.phase) || sending.cancel();
    row.start = () => {
      sending = upload(file, "upload", {
        queue: this.#queue, watch: SOURCE, ontrace: row.trace,
        onphase: phase => row.enter(phase),
        onprogress: numbers => row.count(numbers),
        onlost: wait => row.lose(wait),
        onend: outcome => {
          row.end(outcome);
          this.#sayEnd(row);
        },
      });
    };
    return row;
  }

  /** Of many files each failure is said, and what has come of all. */
  #sayEnd(row) {
    const isMany = this.#batch.length > 1;
    if (row.phase === "error" || (row.phase === "done" && !isMany)) say(row.ending);
    if (isMany && this.active.length === 0) say(`${this.sum}.`);
  }

  /** One that is sent once more belongs to what runs now. */
  #join(row) {
    if (this.active.length === 0) {
      this.#batch = [];
      this.#quarter = 0;
    }
    if (!this.#batch.includes(row)) this.#batch.push(row);
  }

  render() {
    const { all, sum, percent, bar, facts, cancel, clear } = this.parts;
    const batch = this.#batch, active = this.active, { share } = this;
    const { done, failed } = this.outcome;
    const isMany = batch.length > 1;
    all.hidden = this.#rows.length === 0 || (!isMany && active.length > 0);
    this.#section.classList.toggle("is-used", this.#rows.length > 0);
    const isActive = active.length > 0;
    sum.textContent = this.sum;
    all.dataset.phase = isActive ? "sending" : failed ? "error" : done ? "done" : "cancelled";
    const moving = active.filter(row => row.numbers);
    const isCounted = isActive && !isLost(active) && !active.every(row => row.phase === "processing");
    all.classList.toggle("lost", isLost(active));
    bar.hidden = !isActive;
    show(bar, isCounted ? share : undefined);
    percent.textContent = isCounted ? inPercent(share) : "";
    const rate = moving.reduce((total, row) => total + (row.numbers.rate ?? 0), 0);
    const left = active.reduce((total, row) => total + row.size * (1 - (row.share ?? row.reached)), 0);
    facts.textContent = isActive ? listed(
      moving.length > 0 && rate > 0 && `${inBytes(rate)}/s`,
      moving.length > 0 && rate > 0 && left / rate < 360_000 && `${inTime(left / rate)} left`,
      failed > 0 && `${failed} failed`,
    ) : "";
    cancel.hidden = active.length < 2;
    clear.hidden = this.#rows.length === active.length;
    const quarter = Math.floor((share ?? 0) * 4);
    if (isActive && quarter > this.#quarter && quarter < 4) say(`${quarter * 25} percent of ${files(batch.length)}`);
    this.#quarter = Math.max(quarter, this.#quarter);
  }
}

class Downloads {
  #section = document.querySelector("#downloads"); #start = this.#section.querySelector(".start"); row = null;

  constructor() {
    this.#start.addEventListener("click", () => this.#run());
  }

  get active() {
    return this.row && !isOver(this.row.phase) ? [this.row] : [];
  }

  #run() {
    let stop;
    const begin = () => {
      stop = new AbortController();
      this.#fetch(row, stop);
    };
    const row = this.row = new Row({
      name: "download", isUpload: false, home: this.#start, onchange: update, retry: begin,
      cancel: () => {
        stop.abort();
        row.trace("cancelled");
        row.enter("cancelled");
        row.end({ phase: "cancelled" });
      },
    });
    this.#section.querySelector(".rows").replaceChildren(row.element);
    begin();
    row.element.querySelector(".cancel").focus();
    say("Receiving the file.");
  }

  async #fetch(row, stop) {
    const id = newId(), { signal } = stop, address = `download?X-Progress-Id=${id}`;
    const over = new AbortController();
    signal.addEventListener("abort", () => over.abort());
    row.size = undefined;
    row.enter("queued");
    row.enter("receiving");
    row.trace(`GET ${address}`);
    let heard = null, movedAt = 0;
    watch(id, {
      ...SOURCE, ontrace: row.trace, signal: over.signal,
      onprogress: ({ state, sent, response_size: total, rate, remaining }) => {
        if (state !== "running") return;
        heard = performance.now();
        row.count({ loaded: sent, total, rate, remaining });
      },
      onlost: wait => {
        // While bytes come in the server is there.
        if (performance.now() - movedAt > 3000) row.lose(wait);
      },
    });
    let outcome, loaded = 0;
    try {
      const response = await fetch(address, { cache: "no-store", signal });
      if (response.ok) {
        const total = Number(response.headers.get("Content-Length")) || undefined;
        await response.body.pipeTo(new WritableStream({
          write: piece => {
            loaded += piece.length;
            movedAt = performance.now();
            // The server knows better, if it tells.
            if (heard === null || performance.now() - heard > 3000) row.count({ loaded, total });
          },
        }));
      }
      const { ok, status, headers } = response;
      row.trace(`answer: status ${status}`);
      row.size = loaded;
      const text = ok ? "" : textOf(headers.get("Content-Type"), await response.text());
      outcome = ok ? { phase: "done" } : { phase: "error", reason: "status", status, text };
    } catch {
      outcome = { phase: "error", reason: "line" };
    }
    over.abort();
    if (signal.aborted) return;
    row.enter(outcome.phase);
    row.end(outcome);
    say(row.ending);
  }

  render() {
    this.#start.hidden = this.active.length > 0;
  }
}

const warn = event => event.preventDefault();

let isDue = false;

/** Shows what has changed, once for all that changes together: thousands of files may begin or be cancelled at once. */
function update() {
  if (isDue) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    showAll();
  });
}

/** What the whole page shows of all transfers. */
function showAll() {
  uploads.render();
  downloads.render();
  const active = [...uploads.active, ...downloads.active];
  const { done, failed } = uploads.outcome;
  const share = uploads.active.length ? uploads.share : downloads.active[0]?.share;
  const isProcessing = active.length > 0 && active.every(row => row.phase === "processing");
  const prefix = active.length === 0 ? failed ? "Failed" : done ? "Done" : ""
    : isLost(active) ? "No answer" : isProcessing ? "Processing" : inPercent(share);
  document.title = prefix ? `${prefix} – ${TITLE}` : TITLE;
  if (active.length) addEventListener("beforeunload", warn);
  else removeEventListener("beforeunload", warn);
}

const uploads = new Uploads(), downloads = new Downloads();
const input = document.querySelector(".drop input");
input.addEventListener("change", () => {
  uploads.add([...input.files].map(named));
  // Without this the same file, when it has changed, could not be chosen again.
  input.value = "";
});

/** Adds files that were dropped or pasted, and those in folders. */
async function bring(data) {
  // They have to be asked for at once: later the data are empty.
  const entries = [...data.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(entry => entry.isDirectory)) return uploads.add([...data.files].map(named));
  const found = [], unread = [];
  for await (const file of filesIn(entries, unread)) found.push(file);
  uploads.add(found);
  const more = unread.length > 1 ? ` and ${unread.length - 1} more` : "";
  if (unread.length > 0) uploads.note(`“${unread[0]}”${more} cannot be read.`);
  else if (found.length === 0) uploads.note(`There are no files in “${entries[0].name}”.`);
}

const named = file => ({ name: file.name, file });

/** All files below these entries, named by their paths; the paths of what cannot be read come into `unread`. */
async function* filesIn(entries, unread) {
  for (const entry of entries) {
    const name = entry.fullPath.slice(1);
    try {
      if (entry.isDirectory) yield* filesIn(await entriesIn(entry), unread);
      else yield { name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) };
    } catch {
      unread.push(name);
    }
  }
}

/** What is directly in a folder, by name. */
async function entriesIn(folder) {
  const reader = folder.createReader(), all = [];
  // It tells of no more than a hundred at a time.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
    all.push(...some);
  }
}

// Anywhere on the page, so that a file which misses the zone does not replace it.
const hasFiles = event => event.dataTransfer?.types.includes("Files");
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(type, event => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    const isInside = type === "dragenter" || type === "dragover" || (type === "dragleave" && event.relatedTarget !== null);
    document.body.classList.toggle("is-dropping", isInside);
    if (type === "drop") bring(event.dataTransfer);
  });
}
addEventListener("paste", event => event.clipboardData && bring(event.clipboardData));
