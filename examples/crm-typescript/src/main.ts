/** Start the CRM: `node src/main.ts`. */

import { readConfig, SettingInvalid, type Config } from "./config.ts";
import { Customers } from "./customers.ts";
import { Outbox } from "./outbox.ts";
import { Perezvon } from "./perezvon.ts";
import { makeServer } from "./server.ts";

function configOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof SettingInvalid)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

// No cleanup runs at exit: everything is committed before it is confirmed, so that `kill -9` loses nothing.
const config = configOrExit();
const customers = new Customers(config.database);
const outbox = new Outbox(customers, new Perezvon(config));
makeServer(config, customers, outbox).listen(config.port, config.host, () => {
  console.error(`ready http://${config.host}:${config.port}`);
});
await outbox.run();
