// Prints the path of grpcurl, which calls gRPC services from a shell.
import { printGoTool } from "./go-tool.mjs";

printGoTool({ name: "grpcurl", main: "github.com/fullstorydev/grpcurl/cmd/grpcurl", version: "v1.9.3" });
