// Uploads, and how far requests are, as lighttpd2's mod_progress tells it: pushed where there is progress.stream, else polled.

const ANSWER_WITHIN = 4_000;      // milliseconds after which a server counts as silent
const FIRST_EVENT_WITHIN = 3_000; // milliseconds after which a stream counts as held back, by a proxy or for want of a connection
const FIRST_PAUSE = 100;          // milliseconds from the first answer to the next question
const INTERVAL = 500;             // milliseconds from an answer to the next question, unless the page says otherwise
const LONGEST_PAUSE = 10_000;     // milliseconds between questions to a server that fails
const REFUSED_FOR = 60_000;       // milliseconds until a server that had no stream is asked for one again
const UNKNOWN_FOR = 60_000;       // milliseconds after which an id that is not known ends a watch
const MOVING_FOR = 3_000;         // milliseconds since the last bytes for which an upload moves
const FRESH_FOR = 5_000;          // milliseconds for which the server's numbers count more; longer than an answer takes
const HEARD_WITHIN = 1_500;       // milliseconds that the server has for its first numbers
const RATE_OVER = 4_000;          // milliseconds that the browser's rate is an average of
const EXPLAINED_WITHIN = 3_000;   // milliseconds in which a server says how a request ended whose line was lost
const LONGEST_TEXT = 200;         // characters of an answer that are for people

/** Streams that are open, and until when those at an address are not worth trying. */
let open = 0;
const refused = new Map();

const noop = () => {};

/** A random id: 32 digits. `crypto.randomUUID` exists only on https and on the local machine. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");
}

function withQuery(url, values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const query = given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return url + (url.includes("?") ? "&" : "?") + query;
}

/** Waits, but no longer than until `signal` fires or the line is back. */
function pause(milliseconds, signal) {
  return new Promise(resolve => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      removeEventListener("online", over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    signal.addEventListener("abort", over);
    addEventListener("online", over);
    if (signal.aborted) over();
  });
}

/** A report of the server's, or null for anything else. */
function parse(text) {
  try {
    const report = JSON.parse(text);
    return ["unknown", "running", "done", "error"].includes(report?.state) ? report : null;
  } catch {
    return null;
  }
}

/** Polls once: a report, or why there is none. A server that says that it does not tell is not silent. */
async function ask(address, signal) {
  const limit = new AbortController();
  const stop = () => limit.abort();
  const timer = setTimeout(stop, ANSWER_WITHIN);
  signal.addEventListener("abort", stop);
  try {
    const response = await fetch(address, { cache: "no-store", signal: limit.signal });
    const text = await response.text();
    const report = response.ok ? parse(text) : null;
    return report ? { report } : { why: `status ${response.status}, no report`, isSilent: response.status >= 500 };
  } catch {
    return { why: "no answer", isSilent: true };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** Whether one more stream leaves connections for transfers: with HTTP/1 a browser has six to a server, for all its tabs. */
function hasRoomForStream() {
  const protocol = performance.getEntriesByType?.("navigation")[0]?.nextHopProtocol;
  return open === 0 || ["h2", "h3"].includes(protocol);
}

class Watch {
  #id; #options; #signal; #stream; #poll; #unknownSince = null;

  constructor(id, options) {
    const { url = "/progress-stream", pollUrl = "/progress", interval, bytes } = options;
    this.#id = id;
    this.#options = { onprogress: noop, onend: noop, onlost: noop, ontrace: noop, ...options };
    this.#signal = options.signal ?? new AbortController().signal;
    this.#stream = url && { url, address: withQuery(url, { "X-Progress-Id": id, interval, bytes }) };
    this.#poll = withQuery(pollUrl, { "X-Progress-Id": id });
  }

  async run() {
    const interval = this.#options.interval ?? INTERVAL;
    let failures = 0, wait = Math.min(FIRST_PAUSE, interval);
    while (!this.#signal.aborted) {
      const end = this.#mayStream() ? await this.#listen() : null;
      if (this.#signal.aborted) break;
      if (end) return this.#end(end);

      const { report, isSilent } = await this.#ask();
      if (this.#signal.aborted) break;
      if (report && this.#hear(report)) return this.#end(report);
      failures = report ? 0 : failures + 1;
      const next = failures ? Math.min(interval * 2 ** failures, LONGEST_PAUSE) : wait;
      wait = Math.min(wait * 2, interval);
      if (isSilent) this.#options.onlost(next);
      await pause(next, this.#signal);
    }
    return null;
  }

  async #ask() {
    const answer = await ask(this.#poll, this.#signal);
    if (!this.#signal.aborted) this.#options.ontrace(`poll: ${answer.report ? JSON.stringify(answer.report) : answer.why}`);
    return answer;
  }

  #mayStream() {
    return this.#stream && "EventSource" in globalThis && hasRoomForStream()
      && !(performance.now() < refused.get(this.#stream.url));
  }

  /** Listens to a stream until there is an end, which it returns, or until it is of no use. */
  #listen() {
    const { url, address } = this.#stream;
    return new Promise(resolve => {
      const source = new EventSource(address);
      let hasBegun = false, timer;
      open++;
      this.#options.ontrace(`stream: ${address}`);
      const finish = report => {
        clearTimeout(timer);
        source.close();
        this.#signal.removeEventListener("abort", stop);
        open--;
        resolve(report);
      };
      const stop = () => finish(null);
      const giveUp = why => {
        this.#options.ontrace(`stream: ${why}; polls instead`);
        if (!hasBegun) refused.set(url, performance.now() + REFUSED_FOR);
        finish(null);
      };
      // A stream that says nothing may be one whose server is gone: a poll tells.
      const check = async () => {
        const { report, isSilent } = await this.#ask();
        if (source.readyState === EventSource.CLOSED) return;
        if (report && this.#hear(report)) finish(report);
        else if (isSilent) this.#options.onlost(ANSWER_WITHIN);
        expect();
      };
      const expect = () => {
        clearTimeout(timer);
        if (source.readyState !== EventSource.CLOSED) timer = setTimeout(check, ANSWER_WITHIN);
      };
      source.addEventListener("progress", ({ data }) => {
        const report = parse(data);
        this.#options.ontrace(`stream: ${data}`);
        if (!report) return;
        hasBegun = true;
        expect();
        this.#hear(report);
      });
      source.addEventListener("end", ({ data }) => {
        this.#options.ontrace(`stream ends: ${data}`);
        const report = parse(data);
        if (report) finish(report);
        else giveUp("no report");
      });
      source.addEventListener("error", () => {
        if (source.readyState === EventSource.CLOSED) giveUp("refused");
        else if (!hasBegun) giveUp("broken off before it said anything");
        else this.#options.ontrace("stream: broken off; the browser tries again");
      });
      timer = setTimeout(() => giveUp("nothing comes"), FIRST_EVENT_WITHIN);
      this.#signal.addEventListener("abort", stop);
    });
  }

  /** Whether this was the last report. */
  #hear(report) {
    if (report.state === "done" || report.state === "error") return true;
    const isUnknown = report.state === "unknown";
    this.#unknownSince = isUnknown ? this.#unknownSince ?? performance.now() : null;
    if (isUnknown && performance.now() - this.#unknownSince >= UNKNOWN_FOR) return true;
    this.#options.onprogress(report);
    return false;
  }

  #end(report) {
    this.#options.onend(report);
    return report;
  }
}

/** Watches the request with that id until it has ended; returns a promise of the last report, null where `signal` was first. */
function watch(id, options = {}) {
  return new Watch(id, options).run();
}

/** Bytes per second over the last few seconds. */
class Rate {
  #samples = [];

  add(bytes) {
    const time = performance.now();
    this.#samples.push({ time, bytes });
    while (this.#samples.length > 2 && this.#samples[0].time < time - RATE_OVER) this.#samples.shift();
  }

  get value() {
    const first = this.#samples[0], last = this.#samples.at(-1);
    return last?.time > first.time ? (last.bytes - first.bytes) / (last.time - first.time) * 1000 : undefined;
  }
}

/**
 * Numbers of one upload, from the server as long as it gives some, else from the browser, which counts what it has given to the
 * system: of a small file all of it, at once.
 */
class Count {
  #server = new Rate(); #browser = new Rate(); #freshUntil = performance.now() + HEARD_WITHIN; #loaded = 0; #freshFor;

  constructor(interval = INTERVAL) {
    this.#freshFor = Math.max(FRESH_FOR, 2 * interval);
  }

  /** Whether the server tells, or may still begin to. */
  get isHeard() {
    return performance.now() < this.#freshUntil;
  }

  hear(received, total, { rate, remaining }) {
    this.#freshUntil = performance.now() + this.#freshFor;
    // An answer may have been overtaken by the next one.
    this.#loaded = Math.max(received, this.#loaded);
    this.#server.add(this.#loaded);
    return this.#numbers(this.#loaded, total, rate ?? this.#server.value, remaining, "server");
  }

  /** Null where the server's are better. */
  see(loaded, total) {
    this.#browser.add(loaded);
    return this.isHeard ? null : this.#numbers(loaded, total, this.#browser.value, undefined, "browser");
  }

  #numbers(loaded, total, rate, remaining, source) {
    const left = remaining ?? (rate > 0 && total !== undefined ? Math.ceil((total - loaded) / rate) : undefined);
    return { loaded, total, rate, remaining: left, source };
  }
}

/** Lets no more than `limit` transfers run at once. */
function newQueue(limit) {
  const waiting = new Set();
  let running = 0;
  const next = () => {
    for (const start of waiting) {
      if (running >= limit) return;
      waiting.delete(start);
      running++;
      start().finally(() => {
        running--;
        next();
      });
    }
  };
  return {
    /** Calls `start`, which returns a promise, when it is its turn. */
    add(start) {
      waiting.add(start);
      next();
    },
    remove: start => waiting.delete(start),
  };
}

/** What an answer says to people: short plain text, or nothing. */
function textOf(contentType, body) {
  const text = body.trim().replace(/\s+/g, " ");
  const isFit = /^text\/plain\b/i.test(contentType ?? "") && text.length <= LONGEST_TEXT && !/[\u0000-\u001f\u007f]/.test(text);
  return isFit ? text : "";
}

/** Whether a file is still as it was when it was chosen; a folder cannot be read either. */
async function isReadable(body) {
  try {
    if (body instanceof Blob) await body.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

class Upload {
  #body; #url; #options; #attempt; #begin;

  constructor(body, url, options) {
    this.#body = body;
    this.#url = url;
    this.#options = { onphase: noop, onprogress: noop, onend: noop, onlost: noop, ontrace: noop, ...options };
    this.retry();
  }

  get id() { return this.#attempt.id; }
  get phase() { return this.#attempt.phase; }
  get result() { return this.#attempt.result; }

  cancel() {
    this.#options.queue?.remove(this.#begin);
    if (!this.#attempt.isOver) this.#options.ontrace("cancelled");
    this.#settle(this.#attempt, { phase: "cancelled" });
  }

  /** Sends it once more, with another id, if it has ended. */
  retry() {
    if (this.#attempt && !this.#attempt.isOver) return;
    const attempt = { id: newId(), stop: new AbortController(), isOver: false, report: null };
    attempt.result = new Promise(resolve => { attempt.resolve = resolve; });
    this.#attempt = attempt;
    this.#enter(attempt, "queued");
    this.#begin = () => {
      if (!attempt.isOver) this.#send(attempt);
      return attempt.result;
    };
    if (this.#options.queue) this.#options.queue.add(this.#begin);
    else this.#begin();
  }

  #send(attempt) {
    const { method = "POST", headers = {}, ontrace } = this.#options;
    attempt.count = new Count(this.#options.watch?.interval);
    const request = attempt.request = new XMLHttpRequest();
    const address = withQuery(this.#url, { "X-Progress-Id": attempt.id });
    request.open(method, address);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    let loaded, total;
    const see = () => {
      const numbers = !attempt.isOver && total !== undefined && attempt.count.see(loaded, total);
      if (numbers) this.#tell(attempt, numbers);
    };
    request.upload.addEventListener("progress", event => {
      attempt.movedAt = performance.now();
      ({ loaded, total } = event);
      see();
    });
    // What the browser has given to the system by then may be all for long.
    setTimeout(see, HEARD_WITHIN);
    request.upload.addEventListener("load", () => {
      attempt.isGone = true;
      // The server, where it tells, knows better: what has left the browser may be on its way for long.
      const check = () => {
        const isSilent = attempt.isLost && attempt.report;
        if (!attempt.count.isHeard && !isSilent) this.#process(attempt);
        else if (attempt.phase === "sending") setTimeout(check, INTERVAL);
      };
      check();
    });
    request.addEventListener("load", () => {
      ontrace(`answer: status ${request.status}`);
      const isDone = request.status >= 200 && request.status < 300;
      const { status, responseText: body } = request;
      const answer = { status, text: textOf(request.getResponseHeader("Content-Type"), body), body };
      this.#settle(attempt, isDone ? { phase: "done", ...answer } : { phase: "error", reason: "status", ...answer });
    });
    request.addEventListener("error", () => this.#explain(attempt));
    this.#enter(attempt, "sending");
    ontrace(`${method} ${address}`);
    request.send(this.#body);
    // Whatever is heard here, the upload goes on: its own answer decides.
    watch(attempt.id, {
      ...this.#watched(attempt),
      onprogress: report => this.#hear(attempt, report),
      onend: report => {
        if (report.state !== "unknown") attempt.report = report;
      },
      onlost: wait => {
        attempt.isLost = true;
        // While bytes go out the line is not lost.
        const isMoving = !attempt.isGone && performance.now() - (attempt.movedAt ?? 0) < MOVING_FOR;
        if (!isMoving) this.#options.onlost(wait, this);
      },
    });
  }

  #watched(attempt) {
    const { ontrace } = this.#options;
    return { ontrace, ...this.#options.watch, signal: attempt.stop.signal };
  }

  #hear(attempt, report) {
    attempt.isLost = false;
    if (attempt.isOver || report.state !== "running") return;
    attempt.report = report;
    const total = report.request_size;
    if ((report.phase && report.phase !== "receiving") || (report.received === total && attempt.isGone)) {
      attempt.count.hear(report.received, total, report);
      this.#process(attempt);
    } else if (attempt.phase === "sending") {
      this.#tell(attempt, attempt.count.hear(report.received, total, report));
    }
    if (attempt.phase === "processing") this.#options.onprogress({ loaded: report.received, total, source: "server" }, this);
  }

  #tell(attempt, numbers) {
    if (attempt.phase === "sending") this.#options.onprogress(numbers, this);
  }

  /** All has arrived; the server, or what is behind it, has not answered yet. */
  #process(attempt) {
    if (attempt.phase === "sending") this.#enter(attempt, "processing");
  }

  /** The line was lost. What the server says of the request is the best that can be known then. */
  async #explain(attempt) {
    if (attempt.isOver) return;
    this.#options.ontrace("no answer: the line was lost");
    attempt.stop.abort();
    attempt.stop = new AbortController();
    if (!await isReadable(this.#body)) return this.#settle(attempt, { phase: "error", reason: "file" });
    if (attempt.isOver) return;
    this.#options.onlost(0, this);
    const { signal } = attempt.stop, { pollUrl = "/progress" } = this.#options.watch ?? {};
    const until = performance.now() + EXPLAINED_WITHIN;
    let report = null;
    while (!signal.aborted && performance.now() < until) {
      const answer = await ask(withQuery(pollUrl, { "X-Progress-Id": attempt.id }), signal);
      this.#options.ontrace(`poll: ${answer.report ? JSON.stringify(answer.report) : answer.why}`);
      report = answer.report ?? report;
      if (answer.report && answer.report.state !== "running") break;
      await pause(INTERVAL, signal);
    }
    if (report) attempt.report = report;
    if (report?.state === "done") this.#settle(attempt, { phase: "done", reason: "line", status: report.status ?? 200 });
    else if (report?.state === "error" && report.status >= 400) {
      this.#settle(attempt, { phase: "error", reason: "status", status: report.status });
    } else this.#settle(attempt, { phase: "error", reason: "line" });
  }

  #settle(attempt, outcome) {
    if (attempt.isOver) return;
    attempt.isOver = true;
    attempt.stop.abort();
    if (outcome.phase === "cancelled") attempt.request?.abort();
    const whole = { status: 0, text: "", body: "", ...outcome, report: attempt.report };
    this.#enter(attempt, outcome.phase);
    this.#options.onend(whole, this);
    attempt.resolve(whole);
  }

  #enter(attempt, phase) {
    attempt.phase = phase;
    this.#options.onphase(phase, this);
  }
}

/** Sends a file, a Blob or a FormData, and tells how far it is. */
function upload(body, url, options = {}) {
  return new Upload(body, url, options);
}

export { newId, newQueue, textOf, upload, watch };
