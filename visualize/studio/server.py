"""The studio's server: one page per client, shared models and job queue, and access control.

It listens on this machine alone by default. Connections from pages of other origins are closed before any of their
messages is read, sharing through a tunnel is disabled, and messages over the size limits are dropped. This is the only
file that uses private names of viser; `tests/visualize/studio/test_server.py` checks that they exist.
"""

from __future__ import annotations

import contextlib
import errno
import io
import socket
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import viser
from viser import _messages

from motion_diffusion.errors import InputError
from visualize.drawing import style
from visualize.studio.file_transfer import MAX_UPLOAD_BYTES
from visualize.studio.generation import Models
from visualize.studio.goal_nodes import LIFT, scene_colour
from visualize.studio.job_queue import JobQueue, Urgency
from visualize.studio.live import preview
from visualize.studio.page import Page
from visualize.studio.plan import Plan
from visualize.studio.threads import filter_library_logs

MAX_CLIENTS = 12
"""Maximum number of open pages."""
MAX_VALUE_LETTERS = 100_000
"""Maximum size of a value sent by a page."""
BRAND = (0, 51, 37)
"""Colour from which viser derives its lighter shades; its buttons come out in `style.GOAL`."""
CAMERA_POSITION, CAMERA_TARGET = (-3.9, 2.7, -1.1), (0.4, 0.5, 1.6)
"""Initial camera, from which a walk ahead runs to the right."""


@dataclass(frozen=True)
class Address:
    """Address of the studio."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """URL of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def check(self) -> None:
        """Raise InputError if the address cannot be listened on."""
        if not self.host:
            raise InputError("no --host; give an address of this machine, or leave it out for this machine alone")
        if not 0 < self.port < 65536:
            raise InputError(f"port {self.port}: give one from 1 to 65535")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((self.host, self.port))
            except (OSError, UnicodeError) as error:  # UnicodeError for an invalid host name
                reason = getattr(error, "strerror", None) or str(error)
                taken = getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES)
                remedy = "close what uses it, or give another --port" if taken else "give an address of this machine"
                raise InputError(f"{self.host} port {self.port} cannot be listened on ({reason}); {remedy}") from None

    def accepts(self, origin: str | None, host: str | None) -> bool:
        """Whether a connection may be accepted: its origin must be the host that it asks for, by a name of this
        address."""
        name, asked = urlsplit(origin or "").netloc, host or ""
        if name != asked:
            return False
        return not self.is_local or urlsplit(f"//{asked}").hostname in ("127.0.0.1", "localhost", "::1", self.host)


class _Server(viser.ViserServer):
    """Viser's server without sharing."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Disabled: returns None."""
        return None


class Studio:
    """A running studio."""

    def __init__(self, address: Address, *, runs: Sequence[str | Path] = (), live: bool = True):
        """Start the server.

        Args:
            address: to listen on.
            runs: run directories to offer besides the shipped models.
            live: whether motions follow their plans on pages that open.

        Raises:
            InputError: if it cannot start.
        """
        warnings.filterwarnings("ignore", "Queued a .* on a closed connection")  # clients disconnect at any time
        address.check()
        self.address, self._models, self._live = address, Models(runs), live
        self._queue = JobQueue()
        self._guards: dict[int, _Guard] = {}
        self._pages: dict[int, Page] = {}
        self._lock = threading.Lock()
        with contextlib.redirect_stdout(io.StringIO()):  # viser prints its address
            self._server = _Server(host=address.host, port=address.port, verbose=False)
        if self._server.get_port() != address.port:  # taken since the check
            self._server.stop()
            raise InputError(f"port {address.port} is in use; close what uses it, or give another --port")
        filter_library_logs()
        self._add_shared_scene()
        self._warm_up()
        self._server._websock_server.on_client_connect(self._admit)
        self._server._websock_server.on_client_disconnect(self._disconnect)
        self._server.on_client_connect(self._open_page)
        self._server.on_client_disconnect(self._close_page)
        self._server._websock_server.disconnect_all_clients()  # those that connected before access control reconnect

    def close(self) -> None:
        """Close all pages and stop the server."""
        with self._lock:
            pages, self._pages = list(self._pages.values()), {}
        for page in pages:
            page.close()
        self._queue.close()
        filter_library_logs(False)
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    def _add_shared_scene(self) -> None:
        """Add what all pages share: theme, lights, grid and camera."""
        gui, scene = self._server.gui, self._server.scene
        gui.configure_theme(show_logo=False, show_share_button=False, brand_color=BRAND)
        scene.set_up_direction("+y")
        scene.configure_default_lights(cast_shadow=True)
        scene.add_grid(
            "/grid", plane="xz", infinite_grid=True, cell_size=0.5, section_size=1.0, fade_distance=22.0,
            cell_color=scene_colour(style.TILE), section_color=scene_colour(style.SHADOW),
            plane_color=scene_colour(style.BACKGROUND), plane_opacity=1.0, shadow_opacity=0.2,
        )  # fmt: skip
        ahead = np.array([[[0.0, LIFT, 0.0], [0.0, LIFT, 0.45]]])  # origin and initial heading of motions
        grey = scene_colour(style.FAINT_INK)
        scene.add_arrows("/start", ahead, grey, shaft_radius=0.012, head_radius=0.05, head_length=0.12)
        camera = self._server.initial_camera
        camera.position, camera.look_at, camera.up = CAMERA_POSITION, CAMERA_TARGET, (0.0, 1.0, 0.0)

    def _warm_up(self) -> None:
        """Load the default model and everything that a preview uses, so that the first page does not wait for it."""
        plan = Plan(model=self._models.default)
        self._queue.submit(
            self,
            lambda monitor: preview(plan, self._models.get(plan.model), monitor),
            done=lambda outcome: None,
            urgency=Urgency.PREVIEW,
        )

    async def _admit(self, guest: Any) -> None:
        """Accept a connection, or close it before any of its messages is read."""
        connection = self._server._websock_server._live_connections[guest.client_id]
        full = len(self._guards) >= MAX_CLIENTS
        headers = {} if connection.request is None else connection.request.headers
        if full or not self.address.accepts(headers.get("Origin"), headers.get("Host")):
            await connection.close(1008, "the studio is full" if full else "a page from elsewhere")
            return
        self._guards[guest.client_id] = _Guard(guest)

    def _disconnect(self, guest: Any) -> None:
        self._guards.pop(guest.client_id, None)

    async def _open_page(self, client: Any) -> None:
        """Open the page of an accepted client."""
        guard = self._guards.get(client.client_id)
        if guard is None:  # it is being closed
            return
        page = Page(client, self._models, self._queue, live=self._live)
        guard.attach(client, page)
        with self._lock:
            self._pages[client.client_id] = page

    async def _close_page(self, client: Any) -> None:
        with self._lock:
            page = self._pages.pop(client.client_id, None)
        if page is not None:
            threading.Thread(target=page.close, name="studio-close-page", daemon=True).start()


class _Guard:
    """Drops uploads and widget values over the size limits."""

    def __init__(self, connection: Any):
        self._connection, self._received = connection, 0
        self._handle = connection._handle_incoming_message
        self._client: Any = None
        self._page: Page | None = None
        connection._handle_incoming_message = self._filter

    def attach(self, client: Any, page: Page) -> None:
        """Set the client and the page of the connection."""
        self._client, self._page = client, page

    async def _filter(self, client_id: int, message: Any) -> None:
        if isinstance(message, _messages.FileTransferStartUpload):
            self._received = 0
            if self._client is not None:
                self._client.gui._drop_uploads_from_client(client_id)  # one upload at a time
            if message.size_bytes > MAX_UPLOAD_BYTES or message.part_count > MAX_UPLOAD_BYTES // 2**16:
                self._refuse_upload(message)
                return
        elif isinstance(message, _messages.FileTransferPart):
            self._received += len(message.content)
            if self._received > MAX_UPLOAD_BYTES:
                return
        elif isinstance(message, _messages.GuiUpdateMessage) and _count_letters(message.updates) > MAX_VALUE_LETTERS:
            self._notify(f"more than {MAX_VALUE_LETTERS:,} letters are not taken; give fewer")
            return
        await self._handle(client_id, message)

    def _refuse_upload(self, upload: Any) -> None:
        """End an upload on the page, which would otherwise wait for ever, and show the reason."""
        size = upload.size_bytes
        ended = _messages.FileTransferPartAck(upload.source_component_uuid, upload.transfer_uuid, size, size)
        self._connection.queue_message(ended)
        self._connection.queue_message(_messages.RemoveNotificationMessage(f"upload-{upload.transfer_uuid}"))
        self._notify(f"the file has {size / 2**20:.0f} MB and is not taken; load up to {MAX_UPLOAD_BYTES // 2**20} MB")

    def _notify(self, text: str) -> None:
        if self._page is not None:
            self._page.show_message(text)


def _count_letters(value: Any) -> int:
    """Size of a value sent by a page."""
    if isinstance(value, dict):
        return sum(_count_letters(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return len(value) + sum(_count_letters(entry) for entry in value)
    return len(value) if isinstance(value, str | bytes) else 1
