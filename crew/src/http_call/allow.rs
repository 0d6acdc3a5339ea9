//! Which servers may be called.
//!
//! A server is allowed by its name or by its address. What an allowed name leads to is looked at as well, each time it
//! is resolved, and the connection goes to the address that was looked at: a name that leads to this machine, into its
//! network or to a cloud's metadata is refused unless the address is listed too. Of one server less is asked: that of
//! the settings' own URL may be in a private network, for whoever writes a URL of a Service means it. It may not be this
//! machine, unless it is called `localhost`, nor what answers on a link or for a cloud: there no name of a server leads
//! but by somebody else's doing.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use url::{Host, Origin, Url};

/// The address at which Azure's machines find their host: a public one by its number.
const AZURE_HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// Metadata of Alibaba's machines, among the addresses of carriers.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// Beginnings of private addresses of IPv6 behind which AWS and Google keep their metadata.
const CLOUDS_OWN: [(u16, u16); 2] = [(0xfd00, 0x0ec2), (0xfd20, 0x00ce)];

/// What is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    names: Vec<Name>,
    networks: Vec<IpNet>,
    /// Address and port that the settings name themselves.
    own: Option<(IpAddr, u16)>,
    /// The server that they name by a name.
    home: Option<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    pattern: Pattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// `*`
    Any,
    /// `*.example.com`: what is below, and not the name itself.
    Below(String),
    Exact(String),
}

/// A server that is not allowed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAllowed {}

impl Allow {
    /// Reads a list separated by commas: names (`api.example.com`, `*.example.com`, `*`), each with a port or without,
    /// addresses and networks (`10.1.0.0/16`).
    ///
    /// # Errors
    /// A sentence for each entry that is none of them.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let (mut allow, mut errors) = (Self::default(), Vec::new());
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if let Some(network) = network(entry) {
                allow.networks.push(network);
            } else {
                match name(entry) {
                    Ok(name) => allow.names.push(name),
                    Err(error) => errors.push(error),
                }
            }
        }
        if errors.is_empty() { Ok(allow) } else { Err(errors) }
    }

    /// Allows the server of the settings' own URL: that address, or that name with the private network that it leads to.
    pub fn add(&mut self, url: &Url) {
        let port = url.port_or_known_default();
        match url.host() {
            Some(Host::Domain(name)) => {
                self.names.push(Name { pattern: Pattern::Exact(name.to_ascii_lowercase()), port });
                self.home = Some(url.origin());
            }
            Some(Host::Ipv4(address)) => self.own = port.map(|port| (address.into(), port)),
            Some(Host::Ipv6(address)) => self.own = port.map(|port| (address.to_canonical(), port)),
            None => {}
        }
    }

    /// Whether a request may go to this URL, as far as the URL itself says.
    ///
    /// # Errors
    /// Why not.
    pub fn url(&self, url: &Url) -> Result<(), NotAllowed> {
        let no = |why: String| Err(NotAllowed(why));
        if !matches!(url.scheme(), "http" | "https") {
            return no(format!("{:?} is not HTTP", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return no("a URL must hold no user and no password".to_owned());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        match url.host() {
            Some(Host::Domain(name)) if self.names.iter().any(|allowed| allowed.fits(name, port)) => Ok(()),
            Some(Host::Domain(name)) => no(format!("{name}:{port} is not in ASYA_HTTP_ALLOW")),
            Some(Host::Ipv4(address)) => self.literal(address.into(), port),
            Some(Host::Ipv6(address)) => self.literal(address.into(), port),
            None => no("the URL names no server".to_owned()),
        }
    }

    /// An address in a URL: unlike one that a name leads to it must be listed even if it is public.
    fn literal(&self, address: IpAddr, port: u16) -> Result<(), NotAllowed> {
        let address = address.to_canonical();
        if self.own == Some((address, port)) || self.listed(address) {
            return Ok(());
        }
        Err(NotAllowed(format!("the address {address} is not in ASYA_HTTP_ALLOW")))
    }

    /// True for the server of the settings' own URL, if it has a name: scheme, name and port.
    pub fn is_home(&self, url: &Url) -> bool {
        self.home.as_ref() == Some(&url.origin())
    }

    /// True if there is such a server.
    pub fn has_home(&self) -> bool {
        self.home.is_some()
    }

    /// Whether a connection may go to an address that an allowed name leads to.
    pub fn address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.listed(address)
    }

    /// Whether a connection to the server of the settings' own URL may go to an address that its name leads to.
    fn address_of_home(&self, name: &str, address: IpAddr) -> bool {
        let here = name == "localhost" || name.ends_with(".localhost");
        let address = address.to_canonical();
        self.address(address) || is_private_network(address) || (here && address.is_loopback())
    }

    /// The addresses of a name to which a connection may go; `home`: to the server of the settings' own URL.
    ///
    /// # Errors
    /// If there are none among those that were found.
    pub fn addresses(&self, name: &str, found: Vec<IpAddr>, home: bool) -> Result<Vec<IpAddr>, NotAllowed> {
        let fits = |address: &IpAddr| match home {
            true => self.address_of_home(name, *address),
            false => self.address(*address),
        };
        let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(fits);
        match bad.first() {
            Some(address) if good.is_empty() => Err(NotAllowed(format!(
                "{name} leads to {address}, which is not a public address and not in ASYA_HTTP_ALLOW"
            ))),
            _ => Ok(good),
        }
    }

    fn listed(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

impl Name {
    fn fits(&self, name: &str, port: u16) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let fits = match &self.pattern {
            Pattern::Any => true,
            Pattern::Below(parent) => {
                name.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            Pattern::Exact(exact) => name == *exact,
        };
        fits && self.port.is_none_or(|allowed| allowed == port)
    }
}

fn network(entry: &str) -> Option<IpNet> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpNet>().ok().or_else(|| bare.parse::<IpAddr>().ok().map(IpNet::from))
}

fn name(entry: &str) -> Result<Name, String> {
    let wrong = || {
        Err(format!(
            "{entry:?} must be a name, *.NAME, *, an address or a network, a name with :PORT or without"
        ))
    };
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => (name, Some(port)),
            _ => return wrong(),
        },
        None => (entry, None),
    };
    let lower = name.to_ascii_lowercase();
    let pattern = match lower.strip_prefix("*.") {
        None if lower == "*" => Pattern::Any,
        None => Pattern::Exact(lower.clone()),
        Some(parent) => Pattern::Below(parent.to_owned()),
    };
    let plain = match &pattern {
        Pattern::Any => return Ok(Name { pattern, port }),
        Pattern::Below(name) | Pattern::Exact(name) => name,
    };
    // What a URL would read as an address, such as `127.1`, is none of a name.
    match Host::parse(plain) {
        Ok(Host::Domain(parsed)) if parsed == *plain && !plain.contains('*') => Ok(Name { pattern, port }),
        _ => wrong(),
    }
}

/// Whether an address is one of the internet's: not of this machine, its link, a private network, or reserved.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || address == AZURE_HOST
        // "This network"; carriers' own (and Alibaba's metadata); protocols'; benchmarks'; reserved and broadcast.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b) {
        // Translated to IPv4, as 64:ff9b::/96; others below 64:ff9b are a network's own.
        (0x64, 0xff9b) => [c, d, e, f] == [0; 4] && v4(g, h),
        // 6to4 holds an address of IPv4; of Teredo it is hidden.
        (0x2002, high) => v4(high, c),
        (0x2001, 0 | 0xdb8) => false,
        // Global unicast is all that is public.
        _ => a & 0xe000 == 0x2000,
    }
}

/// Whether an address is one of a private network, where servers are, and none at which a cloud answers questions about
/// the machine.
fn is_private_network(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            // What carriers have for themselves is what many clusters give to their pods.
            let shared = a == 100 && (64..128).contains(&b);
            (address.is_private() || shared) && address != ALIBABA_METADATA
        }
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            a & 0xfe00 == 0xfc00 && !CLOUDS_OWN.contains(&(a, b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_allowed_but_what_is_named() {
        let mut allow = Allow::default();
        assert!(allow.url(&url("https://api.example.com/x")).is_err());
        allow.add(&url("https://api.example.com/x"));
        assert!(allow.url(&url("https://API.example.com/other")).is_ok());
        for other in [
            "http://api.example.com/x",
            "https://api.example.com:8443/",
            "https://example.com",
            "https://api.example.com.evil.org",
            "https://93.184.216.34/",
            "ftp://api.example.com",
            "https://user@api.example.com/",
            "https://user:password@api.example.com/",
        ] {
            assert!(allow.url(&url(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn names_are_listed_with_what_is_below_them_and_with_ports() {
        let allow = Allow::parse("*.example.com, api.example.org:8443").unwrap();
        for (text, allowed) in [
            ("https://a.example.com", true),
            ("https://a.b.example.com:99", true),
            ("https://example.com", false),
            ("https://badexample.com", false),
            ("https://api.example.org:8443", true),
            ("https://api.example.org", false),
        ] {
            assert_eq!(allow.url(&url(text)).is_ok(), allowed, "{text}");
        }
        assert!(Allow::parse("*").unwrap().url(&url("https://any.example")).is_ok());
        assert!(Allow::parse("*").unwrap().url(&url("https://8.8.8.8")).is_err());
    }

    #[test]
    fn every_wrong_entry_is_named() {
        let errors =
            Allow::parse("a b, x:port, http://a/, *.*.b, 127.1, 10.0.0.0/99, ok.example").unwrap_err();
        assert_eq!(errors.len(), 6, "{errors:?}");
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let allow = Allow::parse("10.0.0.0/8, ::1").unwrap();
        for good in ["http://10.1.2.3/", "http://0xa.1/", "http://[::ffff:10.0.0.1]/", "http://[::1]:80/"] {
            assert!(allow.url(&url(good)).is_ok(), "{good}");
        }
        for bad in ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://[::ffff:7f00:1]/"] {
            assert!(allow.url(&url(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_the_settings_name_is_allowed_at_its_port_only() {
        let mut allow = Allow::default();
        allow.add(&url("http://127.0.0.1:8000/x"));
        assert!(allow.url(&url("http://127.0.0.1:8000/y")).is_ok());
        assert!(allow.url(&url("http://127.0.0.1:8001/y")).is_err());
        assert!(!allow.address(address("127.0.0.1")), "no name may lead there");
    }

    #[test]
    fn a_name_leads_to_public_addresses_only_unless_others_are_listed() {
        let allow = Allow::parse("*, 10.20.0.0/16").unwrap();
        for public in ["93.184.216.34", "2606:4700::1111", "10.20.3.4", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(allow.address(address(public)), "{public}");
        }
        for other in [
            "127.0.0.1",
            "10.21.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:0:1::",
        ] {
            assert!(!allow.address(address(other)), "{other}");
        }
        let mixed = vec![address("127.0.0.1"), address("8.8.8.8")];
        assert_eq!(allow.addresses("a", mixed, false).unwrap(), [address("8.8.8.8")]);
        assert!(allow.addresses("a", vec![address("127.0.0.1")], false).is_err());
    }

    #[test]
    fn the_server_of_the_settings_may_be_in_a_private_network_and_nowhere_worse() {
        let mut allow = Allow::parse("*").unwrap();
        assert!(!allow.has_home());
        allow.add(&url("http://prices.shop.svc:8080/x"));
        for (text, home) in [
            ("http://PRICES.shop.svc:8080/y", true),
            ("http://prices.shop.svc:8081/", false),
            ("https://prices.shop.svc:8080/", false),
            ("http://other.shop.svc:8080/", false),
        ] {
            assert_eq!(allow.is_home(&url(text)), home, "{text}");
        }
        let leads = |name: &str, to: &str, home| allow.addresses(name, vec![address(to)], home).is_ok();
        for private in ["10.96.0.7", "172.16.0.1", "192.168.1.1", "100.64.0.9", "fd12:3456::1", "8.8.8.8"] {
            assert!(leads("prices.shop.svc", private, true), "{private}");
        }
        for worse in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "169.254.170.23",
            "::ffff:169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!leads("prices.shop.svc", worse, true), "{worse}");
        }
        // Another name, or the same one at another port.
        assert!(!leads("prices.shop.svc", "10.96.0.7", false));
        assert!(leads("localhost", "127.0.0.1", true) && leads("api.localhost", "::1", true));
        assert!(!leads("localhost", "127.0.0.1", false) && !leads("notlocalhost", "127.0.0.1", true));
    }
}
