/**
 * Yields requests one by one, each time the next one of the namespace that has least at that moment; of several such
 * namespaces, of the first one by name. A request that is rejected changes nothing, so the rest comes in the same order
 * without it.
 * @param sizeOf what a namespace has; may only have grown when the next request is taken, and only for the last one.
 */
export function* smallestFirst<Request>(
  requests: Iterable<Request>,
  namespaceOf: (request: Request) => string,
  sizeOf: (namespace: string) => number,
): Generator<Request> {
  const queues = Map.groupBy(requests, namespaceOf);
  const heap: Waiting<Request>[] = [];
  for (const [namespace, queue] of queues) {
    heap.push({ namespace, size: sizeOf(namespace), queue: queue.toReversed() });
  }
  for (let index = heap.length >> 1; index >= 0; index--) sink(heap, index);
  for (let first = heap[0]; first !== undefined; first = heap[0]) {
    const next = first.queue.pop();
    if (next !== undefined) {
      yield next;
      first.size = sizeOf(first.namespace);
    } else {
      const last = heap.pop()!;
      if (heap.length > 0) heap[0] = last;
    }
    sink(heap, 0);
  }
}

interface Waiting<Request> {
  readonly namespace: string;
  size: number;
  /** The next request last. */
  readonly queue: Request[];
}

/** Moves an entry of a binary heap down, until those below it are larger. */
function sink<Request>(heap: Waiting<Request>[], index: number): void {
  for (;;) {
    const [left, right] = [2 * index + 1, 2 * index + 2];
    let smallest = index;
    for (const child of [left, right]) {
      if (child < heap.length && isLess(heap[child]!, heap[smallest]!)) smallest = child;
    }
    if (smallest === index) return;
    [heap[index], heap[smallest]] = [heap[smallest]!, heap[index]!];
    index = smallest;
  }
}

function isLess(a: Waiting<unknown>, b: Waiting<unknown>): boolean {
  return a.size < b.size || a.size === b.size && a.namespace < b.namespace;
}
