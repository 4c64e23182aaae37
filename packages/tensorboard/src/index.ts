export { EVENT_FILE, eventFile, eventRecords, type ChartedEvaluation, type ChartedStep } from "./event-file.js";
