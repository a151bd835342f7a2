//! The variables by which a host names its proxy → the proxy, and who is reached without it.
//!
//! One proxy for every port, asked for a tunnel (CONNECT). Not read: automatic configuration (PAC), SOCKS, proxies that are
//! spoken to within TLS.

use core::net::IpAddr;

/// Variables that name a proxy, the first that is set counts; `NO_PROXY` beside them. Names in any case are kept out of a run
/// whose connections the broker makes.
const NAMES: [&str; 3] = ["https_proxy", "all_proxy", "http_proxy"];
const NO_PROXY: &str = "no_proxy";

/// Whether a variable tells programs of a proxy.
pub fn is_proxy_variable(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == NO_PROXY || name == "ftp_proxy" || NAMES.contains(&name.as_str())
}

/// A proxy that makes tunnels.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What stands behind `Proxy-Authorization:`, a secret.
    pub authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a variable names no proxy that can be spoken to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} names no proxy that makes tunnels: not `http://name:port`")]
pub struct ProxyError {
    /// Which variable. Its value may hold a password, and is not shown.
    pub variable: String,
}

/// How the host reaches the outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    proxy: Option<Proxy>,
    direct: Vec<Direct>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    Everybody,
    /// The name, and every name below it.
    Zone(String),
    /// Addresses with these leading bits, as IPv6 has them.
    Addresses(u128, u32),
}

impl Proxies {
    /// From the variables that `get` knows. The lower-case name counts before the other, as for most programs.
    pub fn of(get: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let either = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_uppercase()];
            names.into_iter().find_map(|name| get(&name).filter(|value| !value.is_empty()).map(|value| (name, value)))
        };
        let proxy = match NAMES.iter().find_map(|name| either(name)) {
            Some((variable, value)) => Some(read(&value).ok_or(ProxyError { variable })?),
            None => None,
        };
        let direct =
            either(NO_PROXY).map_or_else(Vec::new, |(_, text)| text.split([',', ' ']).filter_map(direct).collect());
        Ok(Self { proxy, direct })
    }

    /// The proxy by which `host`, a name or an address, is reached.
    pub fn to(&self, host: &str) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref()?;
        let address = literal(host);
        let goes_without = host == super::endpoint::LOCALHOST
            || address.is_some_and(|address| super::reach::reach(address) == super::reach::Reach::Own)
            || self.direct.iter().any(|direct| match direct {
                Direct::Everybody => true,
                Direct::Zone(zone) => {
                    host.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                }
                Direct::Addresses(first, length) => address.is_some_and(|address| {
                    // Shifting by all bits is no shift: an address with no leading bits in common is every address.
                    (bits(address) ^ first).checked_shr(128 - length).unwrap_or(0) == 0
                }),
            });
        (!goes_without).then_some(proxy)
    }

    /// The proxy itself.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// One word of `NO_PROXY`. A port behind it is not looked at; what is no name and no address matches nobody.
fn direct(word: &str) -> Option<Direct> {
    let word = word.trim().to_ascii_lowercase();
    if word == "*" {
        return Some(Direct::Everybody);
    }
    let addresses = |text: &str, length: Option<u32>| {
        let address = literal(text)?;
        let (most, above) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        Some(Direct::Addresses(bits(address), above + length.unwrap_or(most).min(most)))
    };
    if let Some((address, length)) = word.split_once('/') {
        return addresses(address, Some(length.parse().ok()?));
    }
    addresses(&word, None).or_else(|| {
        let name = word.split(':').next().unwrap_or_default();
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        addresses(name, None).or_else(|| super::endpoint::is_host_name(name).then(|| Direct::Zone(name.to_owned())))
    })
}

/// `http://user:password@name:port/`, all but the name optional.
fn read(value: &str) -> Option<Proxy> {
    let rest = match value.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => value,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<core::net::Ipv6Addr>().ok()?;
            (host.to_owned(), port.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
            None => (place.to_ascii_lowercase(), None),
        },
    };
    let fine = literal(&host).is_some() || super::endpoint::is_host_name(&host);
    // 80 is the port of a URL that names none.
    let port = port.map_or(Some(80), |port| port.parse().ok()).filter(|port| *port != 0)?;
    let authorization = user.map(|user| format!("Basic {}", base64(&unescape(user))));
    fine.then_some(Proxy { host, port, authorization })
}

/// `%41` → `A`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let pair = behind.get(..2).and_then(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        match (first, pair) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = behind;
            }
        }
    }
    out
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let letter = ALPHABET.get((word >> (18 - 6 * index) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if index <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn proxy(value: &str) -> Option<Proxy> {
        of(&[("HTTPS_PROXY", value)]).ok()?.proxy().cloned()
    }

    #[test]
    fn a_proxy_is_read_in_every_spelling_and_what_cannot_be_spoken_to_is_an_error() {
        let plain = |host: &str, port| Proxy { host: host.to_owned(), port, authorization: None };
        assert_eq!(proxy("http://Proxy.corp:3128/"), Some(plain("proxy.corp", 3128)));
        assert_eq!(proxy("10.0.0.1:8080"), Some(plain("10.0.0.1", 8080)));
        assert_eq!(proxy("http://[fd00::1]:3128"), Some(plain("fd00::1", 3128)));
        assert_eq!(proxy("proxy"), Some(plain("proxy", 80)));
        let known = proxy("http://user:p%40ss@proxy:1").unwrap();
        assert_eq!(known.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert!(!format!("{known:?} {known}").contains("dXN"), "a password is not shown");
        for odd in
            ["socks5://a:1", "https://a:1", "http://a:0", "http://a b:1", "http://:1", "http://a:x", "http://[x]:1"]
        {
            assert_eq!(proxy(odd), None, "{odd}");
            assert_eq!(of(&[("https_proxy", odd)]).unwrap_err().to_string().matches(odd).count(), 0);
        }
        assert_eq!(of(&[]).unwrap().to("a.x"), None);
        let both = of(&[("HTTPS_PROXY", "http://b:1"), ("https_proxy", "http://a:1"), ("ALL_PROXY", "c:1")]).unwrap();
        assert_eq!(both.proxy().unwrap().host, "a");
    }

    #[test]
    fn base64_fills_up() {
        let all: Vec<String> = ["", "f", "fo", "foo", "foob"].iter().map(|text| base64(text.as_bytes())).collect();
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn who_is_named_is_reached_without_the_proxy() {
        let proxies = of(&[
            ("https_proxy", "http://proxy:1"),
            ("no_proxy", "corp.example, .inner.example,*.star.example,10.0.0.0/8,192.0.2.7,fd00::/8,port.example:443"),
        ])
        .unwrap();
        for direct in [
            "corp.example",
            "a.corp.example",
            "inner.example",
            "a.inner.example",
            "a.star.example",
            "10.1.2.3",
            "192.0.2.7",
            "[fd12::1]",
            "port.example",
            "localhost",
            "127.0.0.1",
            "[::1]",
        ] {
            assert_eq!(proxies.to(direct), None, "{direct}");
        }
        for by_proxy in ["acorp.example", "corp.example.org", "11.0.0.1", "192.0.2.8", "[2001:db8::1]", "api.x"] {
            assert!(proxies.to(by_proxy).is_some(), "{by_proxy}");
        }
        let nobody = of(&[("https_proxy", "http://proxy:1"), ("NO_PROXY", "*")]).unwrap();
        assert_eq!(nobody.to("api.x"), None);
        let everybody = of(&[("https_proxy", "http://proxy:1"), ("NO_PROXY", "0.0.0.0/0")]).unwrap();
        assert!(everybody.to("9.9.9.9").is_none() && everybody.to("api.x").is_some());
    }

    #[test]
    fn the_variables_are_known_in_any_case() {
        for name in ["HTTPS_PROXY", "http_proxy", "All_Proxy", "NO_PROXY"] {
            assert!(is_proxy_variable(name), "{name}");
        }
        assert!(!is_proxy_variable("PROXY") && !is_proxy_variable("npm_config_proxy"));
    }
}
