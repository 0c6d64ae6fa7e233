import type { ModelObject } from "../../../../core/objects/objects.ts";
import { PlanQueue } from "../../../../core/sync/plan_queue.ts";
import { silentLog } from "../log/silent_log.ts";
import { view } from "../../sync/objects.ts";

/** A queue whose objects are in force, except for the services that the kernel rejects. */
export function inForce(objects: readonly ModelObject[], rejected: readonly string[] = []): PlanQueue {
  const queue = new PlanQueue("here", silentLog);
  queue.setView(view);
  for (const object of objects) queue.upsert(object);
  const batch = queue.take();
  for (const change of batch.changes) {
    if (rejected.includes(change.new?.name ?? "")) batch.reject(change, "EINVAL from nf_tables");
    else batch.accept([change]);
  }
  batch.close();
  return queue;
}
