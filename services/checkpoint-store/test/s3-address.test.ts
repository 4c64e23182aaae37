import assert from "node:assert/strict";
import { test } from "node:test";
import { checkS3Address } from "../src/s3/address.js";
import { failure } from "./support.js";

test("one place in an object store has one name", () => {
  const expected = { url: "s3://my-bucket/runs/first", bucket: "my-bucket", prefix: "runs/first/" };
  assert.deepEqual(checkS3Address("s3://my-bucket/runs/first"), expected);
  assert.deepEqual(checkS3Address("s3://my-bucket/runs/first//"), expected);
  assert.deepEqual(checkS3Address("s3://my-bucket/"), { url: "s3://my-bucket", bucket: "my-bucket", prefix: "" });
  assert.equal(checkS3Address("s3://my-bucket/Größe 1").prefix, "Größe 1/");
});

test("anything but an address in an object store is refused", () => {
  const wrong = [
    ...["s3://", "s3:///a", "s3://B/a", "s3://ab/a", "s3://-ab/a", "s3://user@host/a", "s3://host:80/a", "/a"],
    ...[
      "s3://abc/a//b",
      "s3://abc/../b",
      "s3://abc/./b",
      "s3://abc/a\\b",
      "s3://abc/a\nb",
      "s3://abc/a?b",
      "s3://abc/#",
    ],
    `s3://abc/${"x".repeat(601)}`,
  ];
  const refused = failure("invalid_argument", /not an address in an object store; write it as s3:\/\/bucket\/folder/);
  for (const outputDir of wrong) assert.throws(() => checkS3Address(outputDir), refused, outputDir);
});
