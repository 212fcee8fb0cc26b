/** HTTP server: `POST /customers`, `GET /customers`, `POST /webhooks`. */

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Config } from "./config.ts";
import type { Customers } from "./customers.ts";
import type { Outbox } from "./outbox.ts";
import { verify, WebhookForged } from "./webhooks.ts";

const LARGEST_BODY = 64 * 1024;

interface Reply {
  status: number;
  content?: unknown;
}

class RequestInvalid extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Return a server; `listen` starts it. */
export function makeServer(config: Config, customers: Customers, outbox: Outbox): Server {
  async function handle(request: IncomingMessage): Promise<Reply> {
    switch (`${request.method} ${request.url}`) {
      case "GET /customers":
        return { status: 200, content: customers.all() };
      case "POST /customers":
        return addCustomer(await bodyOf(request));
      case "POST /webhooks":
        return receiveWebhook(request, await bodyOf(request));
      default:
        throw new RequestInvalid(404, "not found");
    }
  }

  function addCustomer(body: Buffer): Reply {
    const { name, phone } = parse(body);
    if (typeof name !== "string" || typeof phone !== "string") {
      throw new RequestInvalid(400, "name and phone are expected, as strings");
    }
    const customer = customers.add(name, phone);
    outbox.wake();
    return { status: 201, content: customer };
  }

  /** Commit the webhook, then respond: perezvon repeats unconfirmed ones. The outbox does the slow work. */
  function receiveWebhook(request: IncomingMessage, body: Buffer): Reply {
    try {
      if (customers.recordWebhook(verify(config.webhookSecret, request.headers, body))) outbox.wake();
      return { status: 204 };
    } catch (error) {
      if (!(error instanceof WebhookForged)) throw error;
      console.warn(`webhook refused: ${error.message}`);
      throw new RequestInvalid(401, "the signature or the time is wrong");
    }
  }

  return createServer({ requestTimeout: 15_000 }, async (request, response) => {
    const reply = await handle(request).catch(errorReply);
    response.writeHead(reply.status, { "Content-Type": "application/json" });
    response.end(reply.content === undefined ? undefined : JSON.stringify(reply.content));
  });
}

function errorReply(error: unknown): Reply {
  if (error instanceof RequestInvalid) return { status: error.status, content: { error: error.message } };
  console.error(error);
  return { status: 500, content: { error: "internal error" } };
}

/** Return the whole body. Node.js reads no more than Content-Length says. */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const length = request.headers["content-length"];
  if (length === undefined) throw new RequestInvalid(411, "Content-Length is required");
  if (Number(length) > LARGEST_BODY) throw new RequestInvalid(413, `at most ${LARGEST_BODY} bytes are allowed`);
  return Buffer.concat(await request.toArray());
}

function parse(body: Buffer): Record<string, unknown> {
  try {
    return Object(JSON.parse(body.toString()));
  } catch {
    throw new RequestInvalid(400, "JSON is expected");
  }
}
