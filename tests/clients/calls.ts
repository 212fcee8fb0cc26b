// Five calls of a client that is generated with openapi-typescript; it prints what they returned.
import createClient from "openapi-fetch";
import type { components, paths, webhooks } from "./schema.d.ts";

declare const process: { env: Record<string, string | undefined> };
declare const console: { log(text: string): void };

type Message = webhooks["callback.finished.v1"]["post"]["requestBody"]["content"]["application/json"];

// What a receiver of webhooks does with a message: it must compile.
export function commentOf(message: Message): string | null | undefined {
  return message.data.comment;
}

const api = createClient<paths>({
  baseUrl: process.env["API_URL"] ?? "",
  headers: { Authorization: `Bearer ${process.env["API_TOKEN"]}` },
});

function given<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const newTask: components["schemas"]["NewTaskBody"] = {
  operator_id: process.env["OPERATOR_ID"] ?? "",
  title: "Generated",
};
const path = { client_id: "@me" };
const task = given(await api.POST("/api/tasks", { body: newTask }));
const tasks = given(await api.GET("/api/tasks", { params: { query: { search: "generated", per_page: 5 } } }));
const base = "/api/ver1.0/client/{client_id}/task_scheduler";
const queue = given(await api.POST(base, { params: { path }, body: { name: "Generated" } }));
const callbacks = given(
  await api.POST("/api/ver1.0/client/{client_id}/task_scheduler/{scheduler_id}/task", {
    params: { path: { ...path, scheduler_id: queue.id } },
    body: { tasks: [{ a_number: "1001", b_number: "+77010001001", try_again_pause: 5 }] },
  }),
);
const board = given(await api.GET("/v1/queue-board", { params: { query: { queue: queue.id } } }));
console.log(
  JSON.stringify([
    task.title,
    tasks.items.map((item) => item.id === task.id),
    queue.status,
    callbacks.map((callback) => callback.try_again_pause),
    board.items.map((row) => row.waiting),
  ]),
);
