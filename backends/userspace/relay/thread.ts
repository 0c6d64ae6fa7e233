import type { RelayCommand, RelayEvent } from "./messages.ts";
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

let thread: RelayThread | undefined;

self.onmessage = ({ data: command }) => {
  if (command.type === "start") {
    void run(() => thread = new RelayThread(command.wake, command.settings, send));
  }
  thread?.receive(command);
};

async function run(start: () => RelayThread): Promise<void> {
  try {
    using relay = start();
    while (!relay.isOver) {
      for (let wait = 0; relay.expectsMessages && wait < MAX_WAITS; wait++) await nextTurnOfRuntime();
      relay.expectNoMessages();
      relay.turn();
    }
  } catch (error) {
    send({ type: "failed", message: error instanceof Error ? error.message : String(error) });
  }
  self.close();
}

function send(event: RelayEvent): void {
  self.postMessage(event);
}

function nextTurnOfRuntime(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
