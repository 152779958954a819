"""A stand-in for a model server: a repository over KServe's REST protocol, run by OpenVINO."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_tokenizers  # noqa: F401 - its operations, for an IR that takes texts

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
_TYPES = {"i64": "INT64", "string": "BYTES", "f32": "FP32"}


class Refused(Exception):
    pass


class Model:
    """The newest version of one model, checked as strictly as the protocol says."""

    def __init__(self, base: Path) -> None:
        version = max(base.iterdir(), key=lambda folder: int(folder.name))
        (xml,) = version.glob("*.xml")
        self.compiled = ov.compile_model(xml, "CPU", F32)
        self.asked: list[Any] = []

    def metadata(self) -> dict[str, Any]:
        ports = {"inputs": self.compiled.inputs, "outputs": self.compiled.outputs}
        return {side: [_described(port) for port in found] for side, found in ports.items()}

    def infer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        given = {tensor["name"]: tensor for tensor in body["inputs"]}
        names = {port.get_any_name() for port in self.compiled.inputs}
        if given.keys() != names:
            raise Refused(f"inputs {sorted(given)} instead of {sorted(names)}")
        arrays = {
            port.get_any_name(): _array(port, given[port.get_any_name()])
            for port in self.compiled.inputs
        }
        outputs = [
            {**_described(port), "shape": list(value.shape), "data": value.ravel().tolist()}
            for port, value in self.compiled(arrays).items()
        ]
        return {"model_version": "1", "outputs": outputs}


def _described(port: Any) -> dict[str, Any]:
    shape = [side.get_length() if side.is_static else -1 for side in port.get_partial_shape()]
    datatype = _TYPES[port.get_element_type().get_type_name()]
    return {"name": port.get_any_name(), "datatype": datatype, "shape": shape}


def _array(port: Any, tensor: dict[str, Any]) -> Any:
    if tensor["datatype"] != _described(port)["datatype"]:
        raise Refused(f"{tensor['name']}: datatype {tensor['datatype']}")
    if not port.get_partial_shape().compatible(ov.PartialShape(tensor["shape"])):
        raise Refused(f"{tensor['name']}: shape {tensor['shape']}")
    dtype = np.int64 if tensor["datatype"] == "INT64" else np.str_
    return np.array(tensor["data"], dtype).reshape(tensor["shape"])


def models(repository: Path) -> dict[str, Model]:
    """Load what the config names, from paths relative to the config."""
    entries = json.loads((repository / "config.json").read_text())["model_config_list"]
    return {
        entry["config"]["name"]: Model(repository / entry["config"]["base_path"])
        for entry in entries
    }


@contextmanager
def served(repository: Path) -> Iterator[tuple[str, dict[str, Model]]]:
    """Serve a repository on a free port; yield its address and the models."""
    found = models(repository)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(lambda model: model.metadata(), "")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(lambda model: model.infer(body), "/infer")

        def _answer(self, call: Any, end: str) -> None:
            name = self.path.removeprefix("/v2/models/").removesuffix(end)
            try:
                status, told = 200, call(found[name])
            except KeyError:
                status, told = 404, {"error": f"{self.path}: no such model"}
            except Refused as error:
                status, told = 400, {"error": str(error)}
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
