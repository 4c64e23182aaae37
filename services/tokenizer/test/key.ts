import { PoolKey, withKey } from "@gradpool/rpc";

/** Of all servers here, in whichever process. */
export const key = new PoolKey("the-key-of-these-tests", "the tests");
/** For their clients. */
export const keyed = [withKey(() => key)];
