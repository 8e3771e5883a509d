"""Which addresses a target may be reached at: public ones, and those of the private networks that it names.

They are judged when they are connected to, so that no name can lead elsewhere once it was looked at.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from services.shared.fields import Fields

Network = IPv4Network | IPv6Network

#: What to say where one is named that may not be.
REMEDY = "is at an address that is not public; if that is meant, allow its network: networks: [10.0.0.0/8]"

_GLOBAL_UNICAST, _NAT64 = IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96")
_TEREDO = IPv6Network("2001::/32")


class BlockedAddress(OSError):
    """An address that is neither public nor in a network that the target allows."""


def read_networks(settings: Fields) -> Sequence[Network]:
    """The field `networks`: the private ones that may be reached."""
    networks: list[Network] = []
    for written in settings.texts("networks", ()):
        try:
            networks.append(ip_network(written))
        except ValueError:
            settings.problem("networks", f"{written!r} is no network; write for example 10.0.0.0/8")
    return networks


def allows(networks: Sequence[Network], host: str) -> bool:
    """Whether an address may be connected to: it is public, or in a network that was allowed."""
    address = address_of(host)
    return address is not None and (_is_public(address) or any(address in network for network in networks))


async def connected(host: str, port: int, networks: Sequence[Network]) -> socket.socket:
    """A connection to the first address of a host that may be reached and answers.

    Raises BlockedAddress where none may be, OSError where none answers.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ways = [info for info in found if allows(networks, str(info[4][0]))]
    if not ways:
        raise BlockedAddress
    for number, (family, kind, protocol, _, address) in enumerate(ways, start=1):
        way = socket.socket(family, kind, protocol)
        try:
            way.setblocking(False)
            await loop.sock_connect(way, address)
        except BaseException as error:
            way.close()
            if number == len(ways) or not isinstance(error, OSError):
                raise
        else:
            return way
    raise AssertionError("there is a way, and the last one returns or raises")


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address where packets to a literal one end up; None where it is none."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return address.ipv4_mapped or address.sixtofour or translated or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address in _TEREDO):
        return False
    return address.is_global and not address.is_multicast
