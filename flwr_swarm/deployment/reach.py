"""Whether a relay answers, as one of its sites sees it: over TLS, by its own certificate."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Final

from .address import Address

SECONDS: Final = 3.0


def why_not(address: Address, trust_root: Path, *, seconds: float = SECONDS) -> str | None:
    """Ask a relay for its health; returns None if it is well, else what is wrong, in words.

    Parameters
    ----------
    address : Address
    trust_root : Path
        PEM file of the authority that must have signed its certificate.
    seconds : float
        Limit for connecting, and for each answer.
    """
    try:
        context = ssl.create_default_context(cafile=str(trust_root))
    except (OSError, ssl.SSLError) as error:
        return f"the trust root {trust_root} cannot be used ({type(error).__name__})"
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=seconds, context=context
    )
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused ({error.verify_message})"
    except ssl.SSLError:
        return "it does not speak TLS"
    except TimeoutError:
        return f"no answer within {seconds:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return (getattr(error, "strerror", None) or type(error).__name__).lower()
    finally:
        connection.close()
    return None if status == http.client.OK else f"it answers with HTTP {status}"
