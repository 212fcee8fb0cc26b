/** Verification of webhooks (https://www.standardwebhooks.com), and their effect on a customer. */

import type { IncomingHttpHeaders } from "node:http";
import { Webhook as StandardWebhook } from "standardwebhooks";
import type { State, Webhook } from "./customers.ts";

/** The signature or the time of a webhook is wrong, or its content cannot be read. */
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
 * The library compares in constant time, accepts timestamps within five minutes of now, and accepts any of several
 * signatures: during the rotation of a secret, perezvon signs with the old and the new one.
 *
 * @param secret the secret of the organisation, `whsec_…`
 * @param headers the received headers
 * @param body the received bytes: the signature covers exactly these
 * @throws WebhookForged if it is not from perezvon, or too old. Its content must not be used.
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
    customerId: message.data.name ?? "", // it is signed; the path of our URL is not
    callbackId: message.data.callback_id,
    sequence: message.sequence,
    state,
    attempts: message.data.attempt ?? null,
    reason,
  };
}

/** Return the new state of the customer after a message, and the reason of a failure. */
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
