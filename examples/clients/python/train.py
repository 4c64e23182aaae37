"""Submits a run, follows it to its end and cancels it on Ctrl-C, using only the contracts in proto/.

    pip install -r requirements.txt
    python train.py 127.0.0.1:7070 --model_id PATH --dataset 'data/*.jsonl' --output_dir out
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from importlib import import_module, resources
from pathlib import Path

import grpc
from google.protobuf import json_format
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
# The coordinator is down or stopping, or the connection broke: the same request may be sent again.
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
CALL_SECONDS = 10
# CancelRun answers when the run has ended.
CANCEL_SECONDS = 60


def contracts(protos: Path, name: str):
    """The modules of messages and stubs that protoc generates from proto/gradpool/v1/{name}.proto."""
    out = tempfile.mkdtemp(prefix="gradpool-contracts-")
    files = [str(file) for file in sorted(protos.glob("gradpool/v1/*.proto"))]
    well_known = str(resources.files("grpc_tools") / "_proto")
    failed = protoc.main(["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
    if failed:
        sys.exit("protoc could not read the contracts")
    sys.path.insert(0, out)
    return import_module(f"gradpool.v1.{name}_pb2"), import_module(f"gradpool.v1.{name}_pb2_grpc")


def is_local(address: str) -> bool:
    return address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")


def local_file(address: str, name: str) -> Path | None:
    """What a pool of this machine keeps for its user's programs."""
    port = address.rpartition(":")[2]
    file = Path(os.environ.get("GRADPOOL_HOME") or Path.home() / ".gradpool") / "pools" / port / name
    return file if is_local(address) and file.exists() else None


def key_of(address: str) -> str:
    """The pool's key: $GRADPOOL_KEY, the file that $GRADPOOL_KEY_FILE names, or that of a pool of this machine."""
    if os.environ.get("GRADPOOL_KEY"):
        return os.environ["GRADPOOL_KEY"]
    file = os.environ.get("GRADPOOL_KEY_FILE") or local_file(address, "key")
    return Path(file).read_text().strip() if file else ""


def channel_to(address: str) -> grpc.Channel:
    """Encrypted with $GRADPOOL_TLS_CA, _CERT and _KEY, or the certificates of a pool of this machine that has some."""
    files = {part: os.environ.get(f"GRADPOOL_TLS_{part.upper()}") for part in ("ca", "key", "cert")}
    found = local_file(address, "tls.json")
    if not any(files.values()):
        files = json.loads(found.read_text()) if found else {}
    # A proxy that the environment names would get even what is for this machine.
    options = [("grpc.enable_http_proxy", 0)] if is_local(address) else []
    if not files:
        return grpc.insecure_channel(address, options)
    parts = (Path(files[part]).read_bytes() for part in ("ca", "key", "cert"))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*parts), options)


class WithKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends the pool's key with each call."""

    def __init__(self, key: str):
        self.metadata = [("authorization", f"Bearer {key}")]

    def _call(self, proceed, details, request):
        return proceed(details._replace(metadata=self.metadata), request)

    intercept_unary_unary = intercept_unary_stream = _call


def retried(call, request, seconds: float):
    """Repeats a write until it is answered: with the same request_id it has one effect, however often it arrives."""
    while True:
        try:
            return call(request, timeout=seconds)
        except grpc.RpcError as error:
            if error.code() not in AGAIN:
                raise
            time.sleep(1)


def follow(stub, pb, run_id: str):
    """Prints what happens to the run and returns it as it ended; if the call breaks, continues after the last step seen."""
    ended = (pb.RUN_STATE_COMPLETED, pb.RUN_STATE_FAILED, pb.RUN_STATE_CANCELLED)
    run, step = None, 0
    while run is None or run.state not in ended:
        try:
            for update in stub.WatchRun(pb.WatchRunRequest(run_id=run_id, after_step=step)):
                if update.HasField("run"):
                    run = update.run
                    print(pb.RunState.Name(run.state), run.paused_because or run.preparing, flush=True)
                elif update.HasField("step"):
                    step = update.step.step
                    print(f"step {step}/{run.total_steps} loss {update.step.loss:.4f}", flush=True)
        except grpc.RpcError as error:
            if error.code() not in AGAIN:
                raise
            time.sleep(1)
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--model_id", required=True)
    parser.add_argument("--dataset", required=True, action="append")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--run_name", default="", help="what to call the run in lists and charts")
    parser.add_argument("--recipe", type=Path, default=HERE.parent / "recipe.json")
    parser.add_argument("--protos", type=Path, default=HERE.parents[2] / "proto")
    flags = parser.parse_args()

    pb, services = contracts(flags.protos, "coordinator")
    spec = {
        "model_id": flags.model_id,
        "dataset": flags.dataset,
        "output_dir": flags.output_dir,
        "run_name": flags.run_name,
        "recipe": json.loads(flags.recipe.read_text()),
    }
    with channel_to(flags.address) as channel:
        stub = services.RunServiceStub(grpc.intercept_channel(channel, WithKey(key_of(flags.address))))
        request = pb.SubmitRunRequest(request_id=str(uuid.uuid4()), spec=json_format.ParseDict(spec, pb.RunSpec()))
        run_id = retried(stub.SubmitRun, request, CALL_SECONDS).run.run_id
        print("run", run_id, flush=True)

        def cancel(*_):
            wish = pb.CancelRunRequest(request_id=str(uuid.uuid4()), run_id=run_id)
            threading.Thread(target=retried, args=(stub.CancelRun, wish, CANCEL_SECONDS)).start()

        signal.signal(signal.SIGINT, cancel)
        run = follow(stub, pb, run_id)
    if run.error.code:
        print(f"{run.error.code}: {run.error.message}", file=sys.stderr)
    return 0 if run.state == pb.RUN_STATE_COMPLETED else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except grpc.RpcError as failure:
        sys.exit(f"{failure.code().name}: {failure.details()}")
