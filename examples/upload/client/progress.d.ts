/** What the server says of a request: the format `full` of mod_progress. */
export interface Report {
  state: "unknown" | "running" | "done" | "error";
  phase?: "receiving" | "waiting" | "sending";
  /** Bytes of the request's body that have arrived, and in all. */
  received?: number;
  request_size?: number;
  /** Bytes of the response that have gone out, and in all. */
  sent?: number;
  response_size?: number;
  /** Seconds. */
  elapsed?: number;
  remaining?: number;
  /** Bytes per second. */
  rate?: number;
  status?: number;
  reason?: "client" | "server" | "timeout" | "status";
}

/** Where reports come from. */
export interface Source {
  /** Of `progress.stream`; default "/progress-stream"; null for polls only. */
  url?: string | null;
  /** Of `progress.show "full"`; default "/progress". */
  pollUrl?: string;
  /** Milliseconds between two reports; polls: 500. */
  interval?: number;
  /** Bytes between two reports of a stream. */
  bytes?: number;
}

export interface WatchOptions extends Source {
  onprogress?(report: Report): void;
  /** The last report: `done`, `error`, or `unknown` where nobody has known the id for a minute. */
  onend?(report: Report): void;
  /** The server does not answer; it is asked again in so many milliseconds. */
  onlost?(wait: number): void;
  /** A line for each thing that is sent or heard. */
  ontrace?(line: string): void;
  signal?: AbortSignal;
}

/** Watches the request with that id until it has ended; returns a promise of the last report, null where `signal` was first. */
export function watch(id: string, options?: WatchOptions): Promise<Report | null>;

export type Phase = "queued" | "sending" | "processing" | "done" | "error" | "cancelled";

export interface Numbers {
  /** Bytes. */
  loaded: number;
  total?: number;
  /** Bytes per second. */
  rate?: number;
  /** Seconds. */
  remaining?: number;
  source: "server" | "browser";
}

export interface Outcome {
  phase: "done" | "error" | "cancelled";
  /**
   * Of an error: `status` says why, the line was lost, or the file cannot be read. `line` with `done`: the answer was lost, and the
   * server says that there was one.
   */
  reason?: "status" | "line" | "file";
  /** The HTTP status; 0 where there was none. */
  status: number;
  /** The answer, where it is short plain text for people. */
  text: string;
  /** The answer as it came. */
  body: string;
  /** The last that the server said of it. */
  report: Report | null;
}

export interface UploadOptions {
  onphase?(phase: Phase, upload: Upload): void;
  onprogress?(numbers: Numbers, upload: Upload): void;
  onend?(outcome: Outcome, upload: Upload): void;
  /** Nothing is heard of the server; it is asked again in so many milliseconds. Numbers or an end may follow. */
  onlost?(wait: number, upload: Upload): void;
  ontrace?(line: string): void;
  /** Default "POST". */
  method?: string;
  headers?: Record<string, string>;
  /** Where it waits for its turn; without one it is sent at once. */
  queue?: Queue;
  watch?: Source;
}

export interface Upload {
  readonly id: string;
  readonly phase: Phase;
  /** Of this attempt; a retry has another. It is never rejected. */
  readonly result: Promise<Outcome>;
  cancel(): void;
  /** Sends it once more, with another id, if it has ended. */
  retry(): void;
}

/** Sends a file, a Blob or a FormData, and tells how far it is. */
export function upload(body: Blob | FormData, url: string, options?: UploadOptions): Upload;

export interface Queue {
  /** Calls `start`, which returns a promise, when it is its turn. */
  add(start: () => Promise<unknown>): void;
  remove(start: () => Promise<unknown>): boolean;
}

/** Lets no more than `limit` uploads run at once. */
export function newQueue(limit: number): Queue;

/** What an answer says to people, as in `Outcome`: its body where that is short plain text, else nothing. */
export function textOf(contentType: string | null, body: string): string;

/** A random id. */
export function newId(): string;

export as namespace modProgress;
