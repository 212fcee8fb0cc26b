/** Client of the HTTP API, with the three requests that the CRM needs. */

import type { Config } from "./config.ts";
import type { Customer } from "./customers.ts";

const TIMEOUT_MS = 10_000;
const CONFLICT = 409;
const REFUSALS = new Set([400, 413, 422]); // the request itself is invalid: a retry cannot succeed

/** perezvon refused a request. The message is its reason. */
export class RequestRefused extends Error {}

/** A request conflicts with the current state in perezvon. */
export class Conflict extends RequestRefused {}

/** perezvon is unreachable or busy, or its settings or the CRM's are wrong: retry later. */
export class TryLater extends Error {
  /** The minimum time to wait, if perezvon requested a wait. */
  readonly retryAfterMs: number | undefined;

  constructor(reason: string, retryAfterMs?: number) {
    super(reason);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The API of one organisation. All methods throw TryLater, and RequestRefused where documented. */
export class Perezvon {
  readonly #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  /** File a task that documents the callback, and return its id. Throws RequestRefused. */
  async fileTask(customer: Customer): Promise<string> {
    const task = {
      operator_id: this.#config.operatorKey,
      title: `Call ${customer.name} back`,
      task_type: "consultation", // perezvon may dial a task of type "callback" itself, in the organisation's queue
      caller_name: customer.name,
      caller_phone: customer.phone,
    };
    const filed = (await this.#post("/api/tasks", task, `task-${customer.id}`)) as { id: string };
    return filed.id;
  }

  /** Place a callback, which calls the agent and then the customer; return its id. Throws RequestRefused. */
  async placeCallback(customer: Customer): Promise<number> {
    const events = `${this.#config.publicUrl}/webhooks`;
    const callback = {
      name: customer.id,
      a_number: this.#config.agentNumber,
      b_number: customer.phone,
      try_count: this.#config.tries,
      try_again_pause: String(this.#config.pauseSeconds),
      url_before: events,
      url_before_again: events,
      url_success: events,
      url_after: events,
    };
    const path = `/api/ver1.0/client/@me/task_scheduler/${this.#config.queueId}/task/`;
    const [placed] = (await this.#post(path, { tasks: [callback] }, `callback-${customer.id}`)) as [{ id: number }];
    return placed.id;
  }

  /** Set the status of the task to the result of the callback. May be repeated. Throws RequestRefused. */
  async closeTask({ task_id, state, reason }: Customer): Promise<void> {
    let change: Record<string, string>;
    if (state === "reached") change = { status: "completed" };
    else if (state === "cancelled") change = { status: "cancelled", reason: "The callback was deleted" };
    else change = { status: "failed", error_message: reason ?? "Not reached" };
    try {
      await this.#send("PUT", `/api/tasks/${task_id}/status`, change);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error; // else another user has closed the task meanwhile
    }
  }

  /** Post with a key. The same request with the same key returns the first response again: a retry has no effect. */
  async #post(path: string, body: unknown, idempotencyKey: string): Promise<unknown> {
    try {
      return await this.#send("POST", path, body, { "Idempotency-Key": idempotencyKey });
    } catch (error) {
      // An earlier request with this key, whose response was lost, still runs.
      if (error instanceof Conflict) throw new TryLater(error.message);
      throw error;
    }
  }

  async #send(method: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<unknown> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.#config.perezvonUrl + path, {
        method,
        headers: { Authorization: `Bearer ${this.#config.token}`, "Content-Type": "application/json", ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      text = await response.text();
    } catch (error) {
      throw new TryLater(`no response (${error})`);
    }
    if (response.ok) return JSON.parse(text);
    const reason = `${response.status}: ${reasonIn(text)}`;
    if (response.status === CONFLICT) throw new Conflict(reason);
    if (REFUSALS.has(response.status)) throw new RequestRefused(reason);
    // 429 and 5xx are temporary. 401, 403 and 404 mean that our settings are wrong: keep all customers and retry.
    const after = response.headers.get("Retry-After") ?? "";
    throw new TryLater(reason, /^\d+$/.test(after) ? Number(after) * 1000 : undefined);
  }
}

type Fault = { field: string; message: string } | { loc: string[]; msg: string };

/** Return the text of an error. `/api/tasks` and `task_scheduler` use different formats (docs/api.md). */
function reasonIn(text: string): string {
  let error: { errors?: Fault[]; detail?: Fault[] | string; message?: string };
  try {
    error = JSON.parse(text);
  } catch {
    return text.slice(0, 200);
  }
  const faults = error.errors ?? error.detail ?? error.message;
  if (!Array.isArray(faults)) return String(faults);
  return faults
    .map((fault) => ("field" in fault ? `${fault.field}: ${fault.message}` : `${fault.loc.at(-1)}: ${fault.msg}`))
    .join("; ");
}
