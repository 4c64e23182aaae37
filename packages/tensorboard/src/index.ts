export { EVENT_FILE, eventRecords, type ChartedEvaluation, type ChartedStep } from "./event-file.js";
