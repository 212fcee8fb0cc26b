/** Settings, read from environment variables. README.md describes each. */

export interface Config {
  perezvonUrl: string;
  token: string;
  operatorKey: string;
  queueId: number;
  webhookSecret: string;
  agentNumber: string;
  tries: number;
  pauseSeconds: number;
  host: string;
  port: number;
  publicUrl: string;
  database: string;
}

/** An environment variable is missing or cannot be read. The message says which. */
export class SettingInvalid extends Error {}

/** Return the settings. Throws SettingInvalid. */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  function text(name: string, preset?: string): string {
    const value = environment[name] || preset;
    if (value === undefined) throw new SettingInvalid(`${name} is not set; README.md describes the settings`);
    return value;
  }

  function integer(name: string, preset?: string): number {
    const value = text(name, preset);
    if (!/^\d+$/.test(value)) throw new SettingInvalid(`${name} is '${value}'; a whole number is expected`);
    return Number(value);
  }

  const host = text("CRM_HOST", "127.0.0.1");
  const port = integer("CRM_PORT", "8090");
  return {
    perezvonUrl: text("CRM_PEREZVON_URL", "http://127.0.0.1:8080"),
    token: text("CRM_TOKEN"),
    operatorKey: text("CRM_OPERATOR_KEY"),
    queueId: integer("CRM_QUEUE_ID"),
    webhookSecret: text("CRM_WEBHOOK_SECRET"),
    agentNumber: text("CRM_AGENT_NUMBER", "1001"),
    tries: integer("CRM_TRIES", "3"),
    pauseSeconds: integer("CRM_PAUSE_SECONDS", "300"),
    host,
    port,
    publicUrl: text("CRM_PUBLIC_URL", `http://${host}:${port}`),
    database: text("CRM_DATABASE", "crm.sqlite"),
  };
}
