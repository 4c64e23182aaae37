/**
 * Answers requests concurrently but in order: `answer` is called for up to `limit` requests at a time,
 * and no further request is read until the answers are taken.
 */
export async function* inOrder<Request, Answer>(
  requests: AsyncIterable<Request>,
  limit: number,
  answer: (request: Request) => Promise<Answer>,
): AsyncGenerator<Answer> {
  const iterator = requests[Symbol.asyncIterator]();
  const answers: Promise<Answer>[] = [];
  let reading: Promise<IteratorResult<Request>> | undefined;
  let ended = false;
  while (!ended || answers.length > 0) {
    if (!ended && answers.length < limit) reading ??= iterator.next();
    const [first] = answers;
    if (first && (!reading || (await isFirst(first, reading)))) {
      const value = await first;
      void answers.shift();
      yield value;
      continue;
    }
    const next = await reading;
    reading = undefined;
    if (!next || next.done) {
      ended = true;
      continue;
    }
    const answering = answer(next.value);
    // Its failure is thrown when its turn comes.
    answering.catch(() => {});
    answers.push(answering);
  }
}

/** Whether `one` settles before `other` does. */
async function isFirst(one: Promise<unknown>, other: Promise<unknown>): Promise<boolean> {
  const settled = one.then(
    () => true,
    () => true,
  );
  const otherSettled = other.then(
    () => false,
    () => false,
  );
  return Promise.race([settled, otherSettled]);
}
