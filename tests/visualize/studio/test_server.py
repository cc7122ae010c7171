"""Server: addresses, access control, size limits, and errors at the start."""

import builtins
import dataclasses
import gc
import inspect
import math
import re
import socket
import time
from contextlib import suppress

import pytest

import visualize.studio.__main__ as command

pytest.importorskip("viser")
import viser
from viser import _messages
from viser.infra import WebsockClientConnection
from websockets.exceptions import ConnectionClosed

from motion_diffusion.errors import InputError
from tests.visualize.studio.socket_page import SocketPage, knock
from visualize.studio import server
from visualize.studio.server import Address, Studio, _count_letters


@pytest.fixture
def taken():
    """A port in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free():
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_port_in_use_gives_a_one_line_error(taken, run_in_folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, "--port", taken)
    error = capsys.readouterr().err
    assert error.startswith(f"error: 127.0.0.1 port {taken} cannot be listened on")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--port", 0), "port 0"),
        (("--port", 70000), "port 70000"),
        (("--host", "nowhere.invalid"), "nowhere.invalid port 8080 cannot be listened on"),
        (("--models", "no-run"), "no model 'no-run'"),
        (("--models", "root-v"), "no body"),
        (("--threads", 0), "--threads 0"),
        (("--threads", 99999), "--threads 99999"),
        (("--host", ""), "no --host"),
        (("--host", "192.0.2.1"), "give an address of this machine"),
        (("--host", "a..b"), "give an address of this machine"),
        (("--host", "nowhere.invalid"), "give an address of this machine"),
    ],
)
def test_invalid_options_give_a_one_line_error(arguments, told, run_in_folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, *arguments)
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_missing_extra_gives_a_one_line_error(run_in_folder, capsys, monkeypatch):
    default = builtins.__import__

    def without(name, *rest):
        if name.startswith("visualize.studio.server"):
            raise ImportError("No module named 'viser'", name="viser")
        return default(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command)
    assert capsys.readouterr().err == "error: the studio needs viser: pip install 'motion-diffusion[studio]'\n"


@pytest.mark.parametrize(
    ("host", "origin", "asked", "allowed"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("127.0.0.1", "http://localhost:8080", "localhost:8080", True),
        ("::1", "http://[::1]:8080", "[::1]:8080", True),
        ("127.0.0.1", "http://evil.example", "127.0.0.1:8080", False),
        ("127.0.0.1", "http://evil.example:8080", "evil.example:8080", False),  # a name that was made to point here
        ("127.0.0.1", None, "127.0.0.1:8080", False),
        ("127.0.0.1", "null", "127.0.0.1:8080", False),
        ("0.0.0.0", "http://studio.example:8080", "studio.example:8080", True),
        ("0.0.0.0", "http://evil.example", "studio.example:8080", False),
    ],
)
def test_address_accepts_its_own_origin_only(host, origin, asked, allowed):
    assert Address(host, 8080).accepts(origin, asked) is allowed


def test_browser_opens_only_with_a_display(monkeypatch, free):
    """Opening the browser ends the studio here, as ctrl-c does."""
    opened = []

    def open_it(url):
        opened.append(url)
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", open_it)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(KeyboardInterrupt):
        command.run(command.Options(port=free))
    assert opened == [f"http://127.0.0.1:{free}"]
    Address("127.0.0.1", free).check()  # it is free again
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not command._has_screen()


def test_address_knows_whether_it_is_local():
    assert all(Address(host, 1).is_local for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1"))
    assert not any(Address(host, 1).is_local for host in ("0.0.0.0", "192.168.0.2", "::", "studio.example"))
    assert Address("::1", 8080).url == "http://[::1]:8080"


def test_address_check_detects_ports_in_use(taken, free):
    with pytest.raises(InputError):
        Address("127.0.0.1", taken).check()
    Address("127.0.0.1", free).check()
    Address("127.0.0.1", free).check()


def test_foreign_connections_are_closed_and_take_no_place(free, monkeypatch):
    monkeypatch.setattr(server, "MAX_CLIENTS", 2)
    studio = Studio(Address("127.0.0.1", free))
    try:
        ours = f"http://127.0.0.1:{free}"
        for origin in ("http://evil.example", None, "http://localhost:1", "null"):
            assert knock(free, origin) == "a page from elsewhere"
        first, second = knock(free, ours), knock(free, ours)
        assert knock(free, ours) == "the studio is full"
        first.close()
        until = time.monotonic() + 60
        while len(studio._guards) > 1:
            assert time.monotonic() < until
            time.sleep(0.01)
        third = knock(free, ours)
        for door in (second, third):
            door.ping().wait(30)  # they are still there
            door.close()
    finally:
        studio.close()


HOSTILE = [
    None, True, "x", "", -1, 1e308, math.nan, math.inf, 2**63, -(2**63), [], [1], ["a"], {"a": 1}, b"x", [[1]],
    [math.nan] * 3, ["x"] * 50,
]  # fmt: skip


def test_invalid_widget_values_do_not_flood_the_terminal(free, capsys):
    studio = Studio(Address("127.0.0.1", free))
    try:
        page, lines = SocketPage(free), []
        (session,) = (of.session for of in studio._pages.values())
        for steps in (10, 15):
            for widget in page.widgets.values():
                for value in HOSTILE:
                    page.put(widget, value=value)
                page.put(widget, nothing=1)
            until = time.monotonic() + 60
            while session.plan.steps != steps and time.monotonic() < until:  # it goes on all the same
                page.put(page.widgets["Steps"], value=steps)
                time.sleep(0.2)
            assert session.plan.steps == steps
            gc.collect()  # of tasks whose errors nobody asked for
            lines.append(capsys.readouterr().err.splitlines())
        assert 0 < len(lines[0]) < 20
        assert all(re.match(r"studio: \w+Error at \w+\.py:\d+, from \w+\.py:\d+: ?", line) for line in lines[0])
        assert lines[1] == []  # all has been said
        page.door.close()
        spoilt = knock(free, f"http://127.0.0.1:{free}")
        spoilt.send(b"no message")
        with suppress(ConnectionClosed):
            while True:
                spoilt.recv(timeout=30)
        (said,) = capsys.readouterr().err.splitlines()
        assert re.match(r"studio: \w+Error at _messages.py", said)
    finally:
        studio.close()


def test_count_letters_counts_nested_values():
    assert _count_letters({"value": "abc"}) == 3
    assert _count_letters({"a": ["ab", (1, 2.0)], "b": {"c": b"xyz"}}) == 2 + 2 + (2 + 1 + 1) + 3


def test_viser_has_the_private_names_that_the_server_uses(free):
    """Access control and size limits depend on them; a version of viser without them must not be used unnoticed."""
    running = viser.ViserServer(host="127.0.0.1", port=free, verbose=False)
    try:
        websocket = running._websock_server
        assert websocket._live_connections == {}
        assert callable(websocket.disconnect_all_clients)
        assert callable(websocket.on_client_connect)
        assert callable(websocket.on_client_disconnect)
        assert callable(running.gui._drop_uploads_from_client)
    finally:
        running.stop()
    assert inspect.iscoroutinefunction(WebsockClientConnection._handle_incoming_message)
    assert list(inspect.signature(WebsockClientConnection._handle_incoming_message).parameters) == [
        "self", "client_id", "message",
    ]  # fmt: skip
    fields = {
        "FileTransferStartUpload": {"source_component_uuid", "transfer_uuid", "part_count", "size_bytes"},
        "FileTransferPart": {"content"},
        "FileTransferPartAck": {"source_component_uuid", "transfer_uuid", "transferred_bytes", "total_bytes"},
        "GuiUpdateMessage": {"updates"},
        "RemoveNotificationMessage": {"uuid"},
    }
    for name, used in fields.items():
        assert used <= {field.name for field in dataclasses.fields(getattr(_messages, name))}
