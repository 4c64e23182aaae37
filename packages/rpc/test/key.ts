import { PoolKey, withKey } from "../src/index.js";

/** That of the tests' servers. */
export const key = PoolKey.random();
/** For their clients. */
export const keyed = [withKey(() => key)];
