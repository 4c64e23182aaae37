import type { Handlers, PoolServiceService } from "@gradpool/rpc";
import type { Engine } from "../engine.js";

export function poolServiceHandlers(engine: Engine): Handlers<PoolServiceService> {
  return {
    async listTrainers() {
      return { trainers: engine.trainers() };
    },
  };
}
