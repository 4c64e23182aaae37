import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { modelPlaces } from "@gradpool/hub";
import { GradpoolError } from "@gradpool/errors";
import { readCoordinatorConfig } from "../src/config.js";

const ENV = {
  GRADPOOL_TOKENIZER_ADDRESS: "127.0.0.1:7001",
  GRADPOOL_DATA_STREAM_ADDRESS: "127.0.0.1:7002",
  GRADPOOL_CHECKPOINT_STORE_ADDRESS: "127.0.0.1:7003",
};

describe("the coordinator's configuration", () => {
  it("needs the addresses of its services, and has a default for its own", () => {
    assert.deepEqual(readCoordinatorConfig({ ...ENV, GRADPOOL_HOME: "/srv/gradpool" }), {
      listen: "127.0.0.1:0",
      tokenizerAddress: "127.0.0.1:7001",
      dataStreamAddress: "127.0.0.1:7002",
      checkpointStoreAddress: "127.0.0.1:7003",
      runStore: undefined,
      leaseMs: 5_000,
      advertised: undefined,
      recoveryMs: 30_000,
      keepRunsMs: undefined,
      drainMs: 25_000,
      models: modelPlaces({ GRADPOOL_HOME: "/srv/gradpool" }),
      nats: undefined,
      mlflow:
        "this pool knows no MLflow server; set MLFLOW_TRACKING_URI=http://HOST:5000 where the pool, or gradpool train, starts",
    });
  });

  it("reads NATS's addresses and credentials", () => {
    const { nats } = readCoordinatorConfig({ ...ENV, NATS_URL: "nats://nats:4222", NATS_TOKEN: "t" });
    assert.deepEqual(nats, { servers: ["nats:4222"], tls: false, token: "t" });
  });

  it("reads a file for the run store, and seconds between recovery points", () => {
    const env = { ...ENV, GRADPOOL_STORE: "runs.sqlite", GRADPOOL_RECOVERY_SECONDS: "0.5" };
    const { runStore, recoveryMs } = readCoordinatorConfig(env);
    assert.deepEqual([runStore, recoveryMs], ["runs.sqlite", 500]);
    for (const wrong of ["-1", "soon"]) {
      assert.throws(() => readCoordinatorConfig({ ...env, GRADPOOL_RECOVERY_SECONDS: wrong }), /RECOVERY_SECONDS/);
    }
  });

  it("reads a URL of PostgreSQL for the run store, and says what the setting was called before", () => {
    const env = { ...ENV, GRADPOOL_STORE: "postgres://u@one,two:6432/runs?sslmode=require", PGPASSWORD: "secret" };
    const { runStore } = readCoordinatorConfig(env);
    assert.ok(typeof runStore === "object");
    assert.deepEqual([runStore.hosts.length, runStore.tls, runStore.password], [2, "require", "secret"]);
    assert.throws(
      () => readCoordinatorConfig({ ...env, GRADPOOL_STORE: "postgres://u:secret@h:x" }),
      /h:x is not HOST:PORT/,
    );
    assert.throws(
      () => readCoordinatorConfig({ ...ENV, GRADPOOL_RUN_STORE: "runs.sqlite" }),
      /^GradpoolError: GRADPOOL_RUN_STORE is called GRADPOOL_STORE now/,
    );
  });

  it("reads a lease of a second or more, and where others reach it", () => {
    const env = { ...ENV, GRADPOOL_COORDINATOR_LEASE_SECONDS: "2.5", GRADPOOL_ADVERTISE: "pool-1:7070" };
    const { leaseMs, advertised } = readCoordinatorConfig(env);
    assert.deepEqual([leaseMs, advertised], [2_500, "pool-1:7070"]);
    assert.throws(() => readCoordinatorConfig({ ...env, GRADPOOL_COORDINATOR_LEASE_SECONDS: "0.5" }), /LEASE_SECONDS/);
    assert.throws(() => readCoordinatorConfig({ ...env, GRADPOOL_ADVERTISE: "pool-1" }), /GRADPOOL_ADVERTISE/);
  });

  it("keeps runs for ever, or as many days as it is told", () => {
    assert.equal(readCoordinatorConfig(ENV).keepRunsMs, undefined);
    assert.equal(readCoordinatorConfig({ ...ENV, GRADPOOL_KEEP_RUNS_DAYS: "30" }).keepRunsMs, 30 * 24 * 3_600_000);
    for (const wrong of ["0", "-1", "soon"]) {
      assert.throws(() => readCoordinatorConfig({ ...ENV, GRADPOOL_KEEP_RUNS_DAYS: wrong }), /KEEP_RUNS_DAYS/);
    }
  });

  for (const variable of Object.keys(ENV)) {
    for (const value of [undefined, "nowhere"]) {
      it(`names ${variable} when it is ${String(value)}`, () => {
        assert.throws(
          () => readCoordinatorConfig({ ...ENV, [variable]: value }),
          (error) =>
            error instanceof GradpoolError && error.code === "invalid_argument" && error.message.startsWith(variable),
        );
      });
    }
  }
});
