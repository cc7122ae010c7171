"""A client without a browser, for tests of the server."""

import msgspec
import viser
import zstandard
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def knock(port, origin):
    """A connection from a page of an origin, or the reason why it was closed."""
    speaks = [f"viser-v{viser.__version__}"]
    door = connect(f"ws://127.0.0.1:{port}", origin=origin, subprotocols=speaks, proxy=None, max_size=None)
    try:
        door.recv(timeout=30)
    except ConnectionClosed as closed:
        return closed.rcvd.reason
    return door


class SocketPage:
    """A client without a browser: it knows widgets by label and sends values."""

    def __init__(self, port):
        self.door, self.widgets = knock(port, f"http://127.0.0.1:{port}"), {}
        self.send(
            type="ViewerCameraMessage", wxyz=[1, 0, 0, 0], position=[0, 0, 0], fov=1.0, near=0.1, far=9.0,
            image_height=100, image_width=100, look_at=[0, 0, 1], up_direction=[0, 1, 0],
        )  # fmt: skip
        while "Camera" not in self.widgets:  # the last
            self.listen()

    def send(self, **message):
        self.door.send(msgspec.msgpack.encode(message))

    def listen(self):
        sent = self.door.recv(timeout=30)
        packed = int.from_bytes(sent[8:16], "little")
        unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(sent[16 : 16 + packed])
        for message in msgspec.msgpack.decode(unpacked)["messages"]:
            if message["type"] == "LocalStorageGetItemRequestMessage":
                asked = message["request_uuid"]
                self.send(type="LocalStorageGetItemResponseMessage", value=None, error=None, request_uuid=asked)
            elif message["type"].startswith("Gui") and "props" in message:
                self.widgets[message["props"].get("label") or message["uuid"]] = message["uuid"]

    def put(self, widget, **updates):
        self.send(type="GuiUpdateMessage", uuid=widget, updates=updates)
