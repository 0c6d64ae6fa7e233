import type { RelayCommand, RelayEvent, RelaySettings } from "./messages.ts";
import { RelayThread } from "./relay_thread.ts";

/** Entry of the relay's thread, a worker. scripts/build.sh bundles it into a file of its own. */

/** The part of a worker's global scope that is used here. The types of this program are those of the main thread. */
declare const self: {
  onmessage: ((event: MessageEvent<RelayCommand>) => void) | null;
  postMessage(event: RelayEvent): void;
  close(): void;
};

/** Turns of the runtime's event loop that a message may take to arrive. */
const MAX_WAITS = 1000;

/** Commands that have arrived. They are carried out by `run`, so that an error in one closes the relay's sockets, too. */
const commands: RelayCommand[] = [];

self.onmessage = ({ data: command }) => {
  commands.push(command);
  if (command.type === "start") void run(command.wake, command.settings);
};

async function run(wake: number, settings: RelaySettings): Promise<void> {
  try {
    using relay = new RelayThread(wake, settings, send);
    while (!relay.isOver) {
      for (let wait = 0; relay.expectsMessages && wait < MAX_WAITS; wait++) {
        await nextTurnOfRuntime();
        receiveAll(relay);
      }
      relay.expectNoMessages();
      relay.turn();
    }
  } catch (error) {
    send({ type: "failed", message: error instanceof Error ? error.message : String(error) });
  }
  self.close();
}

function receiveAll(relay: RelayThread): void {
  for (const command of commands.splice(0)) relay.receive(command);
}

function send(event: RelayEvent): void {
  self.postMessage(event);
}

function nextTurnOfRuntime(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
