// Prints the path of versitygw, an object store with S3's interface over a folder.
import { printGoTool } from "./go-tool.mjs";

printGoTool({ name: "versitygw", main: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" });
