/** What the coordinator's core knows. Plain data: it can be copied, compared, stored and simulated. */
export const emptyPool = () => ({ runs: [], trainers: [], tasks: [], assignments: 0 });
//# sourceMappingURL=state.js.map
