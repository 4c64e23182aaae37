export {
  ALL_SUBJECTS,
  EVENTS,
  eventTypeNamed,
  rowOf,
  subjectFor,
  subjectOf,
  subjectToken,
  type EventPayload,
} from "./event-types.js";
export { JetStream } from "./jet-stream.js";
export { natsOptions, type NatsOptions, type NatsVariables } from "./nats-options.js";
export { STREAM, STREAM_CONFIG } from "./stream.js";
