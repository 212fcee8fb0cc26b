/** The table of customers, in SQLite. Each method is one transaction, durable when it returns. */

import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";

const SCHEMA = `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY,                    -- the CRM's own id; it is sent as the callback's name and returned in each webhook
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT,                            -- why the customer was not reached
    task_id TEXT,                           -- NULL until perezvon has confirmed the task
    callback_id INTEGER,                    -- NULL until perezvon has confirmed the callback
    task_closed INTEGER NOT NULL DEFAULT 0,
    webhooks INTEGER NOT NULL DEFAULT 0,    -- distinct webhooks received
    sequence INTEGER NOT NULL DEFAULT 0     -- sequence of the newest applied webhook
);
CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY);
`;

const SELECT = "SELECT id, name, phone, state, attempts, reason, task_id, callback_id, webhooks FROM customers";

export type State = "pending" | "calling" | "reached" | "failed" | "cancelled";

/** A row of the table, as `GET /customers` shows it. */
export type Customer = {
  id: string;
  name: string;
  phone: string;
  state: State;
  attempts: number;
  reason: string | null;
  task_id: string | null;
  callback_id: number | null;
  webhooks: number;
};

/** The fields of a verified webhook that the CRM uses. `state` is null for events that the CRM does not handle. */
export interface Webhook {
  id: string;
  customerId: string;
  callbackId: number;
  sequence: number;
  state: State | null;
  attempts: number | null;
  reason: string | null;
}

export class Customers {
  readonly #db: DatabaseSync;

  /** Open the file, and create it if it does not exist. */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec(SCHEMA);
  }

  /** Insert a customer to call back. */
  add(name: string, phone: string): Customer {
    const id = randomUUID();
    this.#db.prepare("INSERT INTO customers (id, name, phone) VALUES (?, ?, ?)").run(id, name, phone);
    return this.#db.prepare(`${SELECT} WHERE id = ?`).get(id) as Customer;
  }

  /** Return all customers, oldest first. */
  all(): Customer[] {
    return this.#db.prepare(`${SELECT} ORDER BY rowid`).all() as Customer[];
  }

  /**
   * Return the oldest customer with a pending request to perezvon. A request is pending if the task or callback is not
   * confirmed, or if the task does not show the result yet.
   */
  nextUnfinished(): Customer | undefined {
    const unfinished = `${SELECT}
      WHERE (state = 'pending' AND callback_id IS NULL)
         OR (state IN ('reached', 'failed', 'cancelled') AND task_id IS NOT NULL AND NOT task_closed)
      ORDER BY rowid LIMIT 1`;
    return this.#db.prepare(unfinished).get() as Customer | undefined;
  }

  /** Record that perezvon confirmed the task. */
  recordTask(id: string, taskId: string): void {
    this.#db.prepare("UPDATE customers SET task_id = ? WHERE id = ?").run(taskId, id);
  }

  /** Record that perezvon confirmed the callback. */
  recordCallback(id: string, callbackId: number): void {
    this.#db.prepare("UPDATE customers SET callback_id = ? WHERE id = ?").run(callbackId, id);
  }

  /** Record that perezvon refused the customer's task or callback, and why. */
  recordRefusal(id: string, reason: string): void {
    this.#db.prepare("UPDATE customers SET state = 'failed', reason = ? WHERE id = ?").run(reason, id);
  }

  /** Record that the task shows the result of the callback. */
  recordTaskClosed(id: string): void {
    this.#db.prepare("UPDATE customers SET task_closed = 1 WHERE id = ?").run(id);
  }

  /**
   * Apply a webhook once, and only if it is newer than the last one that was applied. Return false if this webhook
   * was received before.
   */
  recordWebhook(webhook: Webhook): boolean {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const isNew = this.#insertWebhook(webhook);
      this.#db.exec("COMMIT");
      return isNew;
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #insertWebhook({ id, customerId, callbackId, sequence, state, attempts, reason }: Webhook): boolean {
    if (this.#db.prepare("INSERT OR IGNORE INTO webhooks (id) VALUES (?)").run(id).changes === 0) return false;
    this.#db.prepare("UPDATE customers SET webhooks = webhooks + 1 WHERE id = ?").run(customerId);
    if (state !== null) {
      const update = `UPDATE customers
        SET state = ?, reason = ?, attempts = coalesce(?, attempts), callback_id = ?, sequence = ?
        WHERE id = ? AND sequence < ?`;
      this.#db.prepare(update).run(state, reason, attempts, callbackId, sequence, customerId, sequence);
    }
    return true;
  }
}
