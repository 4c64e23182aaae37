/** Errors in ONNX Runtime's own words (1.30.0, WebGPU on SwiftShader; a lost device in Dawn's). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { LostDeviceError } from "../src/index.js";
import { sessionError } from "../src/session-errors.js";

const refusal = (message: string) => {
  const error = sessionError(new Error(message));
  assert.ok(error instanceof GradpoolError);
  return `${error.code}: ${error.message}`;
};

test("a tensor beyond the GPU's largest buffer is refused with both sizes", () => {
  const message =
    "WebGPU validation failed. Buffer size (2147483648) exceeds the max buffer size limit (1073741824).\n - While calling [Device].CreateBuffer([BufferDescriptor]).\n";
  assert.equal(
    refusal(message),
    "resource_exhausted: the GPU takes no tensor above 1.1 GB, and one has 2.1 GB; lower batch_size or max_length, or train on another device",
  );
});

test("memory that is exhausted is named as the GPU's or the processor's", () => {
  const invalid = "WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.";
  assert.match(refusal(invalid), /^resource_exhausted: out of GPU memory; lower batch_size or max_length$/);
  assert.match(refusal("Failed to allocate memory for requested buffer"), /^resource_exhausted: out of memory; /);
});

test("a step that would leave a part to the processor is refused", () => {
  const message =
    "This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.";
  assert.match(refusal(message), /^failed_precondition: the GPU's provider lacks a part .*; train with --device cpu$/);
});

test("a lost GPU is nobody's task's fault", () => {
  for (const message of [
    "WebGPU validation failed. [Device] is lost.",
    "Failed to download data from buffer. wgpu::MapAsyncStatus value: 3",
  ]) {
    assert.ok(sessionError(new Error(message)) instanceof LostDeviceError, message);
  }
});

test("anything else is passed on as it is", () => {
  const error = new Error("Non-zero status code returned while running Mul node");
  assert.equal(sessionError(error), error);
});
