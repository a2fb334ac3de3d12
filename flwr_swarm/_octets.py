"""What large payloads are: bytes, or a read-only view of bytes that lie elsewhere, uncopied."""

Octets = bytes | memoryview
