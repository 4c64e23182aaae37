export {
  startLocalStack,
  type LocalStack,
  type LocalStackOptions,
  type StackAddresses,
} from "./local-stack/local-stack.js";
