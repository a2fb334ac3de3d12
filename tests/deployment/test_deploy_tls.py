"""Certificates in a real TLS handshake: a site accepts its consortium's relays and nobody else."""

import datetime as dt
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from flwr_swarm._exceptions import ConfigurationError, KeystoreError
from flwr_swarm.deployment.address import Address
from flwr_swarm.deployment.node_keys import NodeKey, as_pem, load_private
from flwr_swarm.deployment.reach import why_not
from flwr_swarm.deployment.tls import DAYS, Authority

NOW = dt.datetime.now(dt.UTC)


class Healthy(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Ill(Healthy):
    status = 503


@pytest.fixture
def served(tmp_path):
    """Serves TLS with a certificate until the test is over; returns the address."""
    servers = []

    def serve(certified, handler=Healthy):
        files = tmp_path / f"{len(servers)}.pem", tmp_path / f"{len(servers)}.key"
        files[0].write_bytes(certified.certificate)
        files[1].write_bytes(certified.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        servers.append(server)
        return Address("127.0.0.1", server.server_address[1])

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def authority():
    return Authority.create("ours", now=NOW)


@pytest.fixture
def root(tmp_path, authority):
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.root)
    return path


def test_a_relay_of_the_consortium_is_reached_by_each_of_its_names(served, authority, root):
    address = served(authority.certify("a", ["127.0.0.1", "localhost"], now=NOW))
    assert why_not(address, root) is None
    assert why_not(Address("localhost", address.port), root) is None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda ours, other: other.certify("a", ["127.0.0.1"], now=NOW), "certificate is refused"),
        (lambda ours, other: ours.certify("a", ["localhost"], now=NOW), "certificate is refused"),
        (lambda ours, other: ours.certify("a", ["10.0.0.1"], now=NOW), "certificate is refused"),
        (
            lambda ours, other: ours.certify(
                "a", ["127.0.0.1"], now=NOW - dt.timedelta(days=DAYS + 1)
            ),
            "certificate is refused",
        ),
    ],
    ids=["another authority", "another name", "another address", "expired"],
)
def test_another_certificate_is_refused(served, authority, root, make, told):
    address = served(make(authority, Authority.create("ours", now=NOW)))
    assert told in why_not(address, root)


def test_what_is_wrong_is_said(served, authority, root, tmp_path):
    certified = authority.certify("a", ["127.0.0.1"], now=NOW)
    assert why_not(served(certified, Ill), root) == "it answers with HTTP 503"
    assert "cannot be used" in why_not(Address("127.0.0.1", 1), tmp_path / "missing.pem")
    assert why_not(Address("127.0.0.1", 1), root) == "connection refused"


def test_certificates_hold_before_newer_pythons_too(served, authority, root):
    """From 3.13 on, default contexts insist on every extension that RFC 5280 asks for."""
    address = served(authority.certify("a", ["127.0.0.1"], now=NOW))
    context = ssl.create_default_context(cafile=root)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection((address.host, address.port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.version()


def test_a_relays_certificate_signs_no_other(authority):
    for certified in (authority.certify("a", ["a.example"], now=NOW),):
        made = x509.load_pem_x509_certificate(certified.certificate)
        constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
        assert not constraints.ca
        assert not usage.key_cert_sign
        assert made.not_valid_before_utc < NOW < made.not_valid_after_utc


@pytest.mark.parametrize("hosts", [[], ["münchen.example"]])
def test_a_host_that_no_certificate_can_name_is_refused(authority, hosts):
    with pytest.raises(ConfigurationError, match="host"):
        authority.certify("a", hosts, now=NOW)


def test_keys_stay_out_of_reprs(authority):
    certified = authority.certify("a", ["a.example"], now=NOW)
    for thing in (authority, certified, NodeKey.create()):
        assert "PRIVATE" not in repr(thing)


def test_a_node_key_is_what_flower_takes(tmp_path):
    key = NodeKey.create()
    path = tmp_path / "node.key"
    path.write_bytes(key.private)
    path.chmod(0o600)
    private = load_private(path)
    assert isinstance(private.curve, ec.SECP384R1)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert as_pem(key.public, "node.pub") == public


def test_a_node_key_that_others_can_read_is_not_used(tmp_path):
    path = tmp_path / "node.key"
    path.write_bytes(NodeKey.create().private)
    path.chmod(0o640)
    with pytest.raises(KeystoreError, match="chmod 600"):
        load_private(path)


def test_other_keys_are_refused(tmp_path):
    odd = ed25519.Ed25519PrivateKey.generate()
    public = odd.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    for data in (public, b"", b"ssh-rsa AAAA", b"\xff"):
        with pytest.raises(ConfigurationError, match=r"node\.pub"):
            as_pem(data, "b")
    path = tmp_path / "node.key"
    path.write_bytes(
        odd.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="ssh-keygen"):
        load_private(path)
