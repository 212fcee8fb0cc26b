/** Client of the HTTP API: only the three calls that the CRM needs. */

import type { Config } from "./config.ts";
import type { Customer } from "./customers.ts";

const TIMEOUT_MS = 10_000;
const CONFLICT = 409;
const REFUSALS = new Set([400, 413, 422]); // the request itself is wrong: sending it again cannot help

/** perezvon refused what was sent. The message is its reason. */
export class RequestRefused extends Error {}

/** What was sent does not fit what perezvon has on record now. */
export class Conflict extends RequestRefused {}

/** perezvon could not be reached, is busy, or its settings or ours must be mended first. */
export class TryLater extends Error {
  /** How long to wait at least, if perezvon said so. */
  readonly retryAfterMs: number | undefined;

  constructor(reason: string, retryAfterMs?: number) {
    super(reason);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The API of one organisation. All methods throw TryLater, those that say so RequestRefused too. */
export class Perezvon {
  readonly #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  /** File the task that remains on record, and return its id. Throws RequestRefused. */
  async fileTask(customer: Customer): Promise<string> {
    const task = {
      operator_id: this.#config.operatorKey,
      title: `Call ${customer.name} back`,
      task_type: "consultation", // one of type "callback" may be dialled by the organisation's own queue
      caller_name: customer.name,
      caller_phone: customer.phone,
    };
    const filed = (await this.#post("/api/tasks", task, `task-${customer.id}`)) as { id: string };
    return filed.id;
  }

  /** Have the agent and then the customer called, and return the callback's id. Throws RequestRefused. */
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

  /** Show in the task what became of the callback. It may be repeated. Throws RequestRefused. */
  async closeTask({ task_id, state, reason }: Customer): Promise<void> {
    let change: Record<string, string>;
    if (state === "reached") change = { status: "completed" };
    else if (state === "cancelled") change = { status: "cancelled", reason: "The callback was deleted" };
    else change = { status: "failed", error_message: reason ?? "Not reached" };
    try {
      await this.#send("PUT", `/api/tasks/${task_id}/status`, change);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error; // else somebody has closed the task meanwhile
    }
  }

  /** With the same key the same request returns the first response again: a retry neither files nor calls twice. */
  async #post(path: string, body: unknown, idempotencyKey: string): Promise<unknown> {
    try {
      return await this.#send("POST", path, body, { "Idempotency-Key": idempotencyKey });
    } catch (error) {
      // Our earlier request with this key, whose response was lost, is still running.
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
    // 429 and 5xx pass by themselves. 401, 403 and 404 mean that our settings are wrong: no customer is given up.
    const after = response.headers.get("Retry-After") ?? "";
    throw new TryLater(reason, /^\d+$/.test(after) ? Number(after) * 1000 : undefined);
  }
}

type Fault = { field: string; message: string } | { loc: string[]; msg: string };

/** Return what an error says. `/api/tasks` and `task_scheduler` have a form of their own each (docs/api.md). */
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
