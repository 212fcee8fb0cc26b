/** Verification of webhooks (https://www.standardwebhooks.com) and what they mean for a customer. */

import type { IncomingHttpHeaders } from "node:http";
import { Webhook as StandardWebhook } from "standardwebhooks";
import type { State, Webhook } from "./customers.ts";

/** The signature or the time of a webhook is wrong, or what it carries cannot be read. */
export class WebhookForged extends Error {}

/** The members of a message that the CRM reads; docs/webhooks.md describes all of them. */
interface Message {
  type: string;
  sequence: number;
  data: { name?: string; callback_id: number; attempt?: number; result?: string; comment?: string };
}

/**
 * Return the webhook if it is genuine.
 *
 * The library compares in constant time, accepts timestamps within five minutes of now, and takes any one of several
 * signatures: while a secret is rotated, perezvon signs with the old and the new one.
 *
 * @param secret the organisation's, `whsec_…`
 * @param headers as they were received
 * @param body the bytes as they were received, for these are what is signed
 * @throws WebhookForged if it is not from perezvon, or too old. Nothing of it may be used.
 */
export function verify(secret: string, headers: IncomingHttpHeaders, body: Buffer): Webhook {
  const signed = Object.fromEntries(
    ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => [name, String(headers[name] ?? "")]),
  );
  let message: Message;
  try {
    message = new StandardWebhook(secret).verify(body, signed) as Message;
  } catch (error) {
    throw new WebhookForged(String(error), { cause: error });
  }
  const [state, reason] = outcome(message);
  return {
    id: signed["webhook-id"]!,
    customerId: message.data.name ?? "", // signed, as the path of our URL is not
    callbackId: message.data.callback_id,
    sequence: message.sequence,
    state,
    attempts: message.data.attempt ?? null,
    reason,
  };
}

/** Return the state into which a message brings the customer, and the reason of a failure. */
function outcome({ type, data }: Message): [State | null, string | null] {
  switch (type) {
    case "callback.attempt_started.v1":
      return ["calling", null];
    case "callback.attempt_succeeded.v1":
      return ["reached", null];
    case "callback.finished.v1":
      return data.result === "success" ? ["reached", null] : ["failed", data.comment ?? null];
    case "callback.cancelled.v1":
      return ["cancelled", null];
    default:
      return [null, null];
  }
}
