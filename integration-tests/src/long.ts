/** Whether tests are run in their full width (`make test-long`), instead of the part that shows a fault of a kind. */
export const IS_LONG = process.env["GRADPOOL_TEST_LONG"] === "1";
