/**
 * The values of `source`, of which up to `count` are prepared before they are asked for; then the
 * source waits.
 */
export async function* ahead<T>(source: AsyncGenerator<T>, count: number): AsyncGenerator<T> {
  const prepared: Promise<IteratorResult<T>>[] = [];
  try {
    for (;;) {
      while (prepared.length < count) {
        // An async generator answers calls of next() in order, one after the other.
        const next = source.next();
        // A failure is thrown when its turn comes, or not at all if the reader leaves first.
        next.catch(() => {});
        prepared.push(next);
      }
      const result = await prepared.shift()!;
      if (result.done) return;
      yield result.value;
    }
  } finally {
    await source.return(undefined);
  }
}
