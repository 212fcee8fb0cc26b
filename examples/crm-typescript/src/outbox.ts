/** The outbox: a loop that sends pending requests from the table to perezvon, and continues after `kill -9`. */

import { setTimeout as pause } from "node:timers/promises";
import type { Customer, Customers } from "./customers.ts";
import { RequestRefused, TryLater, type Perezvon } from "./perezvon.ts";

const LONGEST_PAUSE_MS = 60_000;

/** The sender of pending requests: one at a time, in the order of the customers. */
export class Outbox {
  readonly #customers: Customers;
  readonly #perezvon: Perezvon;
  #changed = Promise.withResolvers<void>();

  constructor(customers: Customers, perezvon: Perezvon) {
    this.#customers = customers;
    this.#perezvon = perezvon;
  }

  /** Notify the loop that the table has changed. */
  wake(): void {
    this.#changed.resolve();
  }

  /** Send forever. An unexpected exception ends the program, so that its supervisor restarts it. */
  async run(): Promise<never> {
    let failures = 0;
    for (;;) {
      this.#changed = Promise.withResolvers(); // before reading the table, so that no change is missed
      try {
        for (let customer; (customer = this.#customers.nextUnfinished()); failures = 0) {
          await this.#takeNextStep(customer);
        }
      } catch (error) {
        if (!(error instanceof TryLater)) throw error;
        const wait = pauseMs(failures++, error.retryAfterMs);
        console.warn(`perezvon: ${error.message}; trying again in ${(wait / 1000).toFixed(1)} s`);
        await pause(wait);
        continue;
      }
      await this.#changed.promise;
    }
  }

  async #takeNextStep(customer: Customer): Promise<void> {
    try {
      if (customer.state !== "pending") {
        await this.#closeTask(customer);
      } else if (customer.task_id === null) {
        this.#customers.recordTask(customer.id, await this.#perezvon.fileTask(customer));
      } else {
        this.#customers.recordCallback(customer.id, await this.#perezvon.placeCallback(customer));
      }
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error;
      console.warn(`customer ${customer.id} was refused: ${error.message}`);
      this.#customers.recordRefusal(customer.id, error.message);
    }
  }

  async #closeTask(customer: Customer): Promise<void> {
    try {
      await this.#perezvon.closeTask(customer);
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error;
      console.warn(`the task of customer ${customer.id} stays open: ${error.message}`);
    }
    this.#customers.recordTaskClosed(customer.id);
  }
}

/** Return milliseconds to wait: as perezvon requests, else exponential backoff, both with jitter. */
function pauseMs(failures: number, retryAfterMs: number | undefined): number {
  if (retryAfterMs !== undefined) return retryAfterMs + 200 * Math.random();
  return Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** failures) * (0.5 + Math.random() / 2);
}
