//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Extensions;

/// Bits of an IPv6 address that name the network of one customer: whoever has one has all addresses in it.
const NETWORK: u32 = 64;

/// The address at the other end of a connection, or its network where one client has many. Behind a proxy it is the
/// proxy's: what a header says of others could be made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// The peer at this address.
    pub fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (u128::BITS - NETWORK))).into()
            }
            address => address,
        })
    }

    /// The peer of a request, as the server has put it there. Requests that came over no connection are all of one.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into()))
    }

    /// Puts the peer into a request.
    pub(crate) fn mark<B>(self, mut request: axum::http::Request<B>) -> axum::http::Request<B> {
        request.extensions_mut().insert(self);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_client_are_one_peer() {
        let peer = |address: &str| Peer::at(address.parse().unwrap());
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff::9"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    }
}
