export { EVENT_FILE, eventFile, type ChartedEvaluation, type ChartedStep } from "./event-file.js";
