//! Until when certificates are valid: the one field of X.509 that an analyzer needs, read without trusting the rest.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde_json::Value;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Tags of DER on the way to the validity.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of each certificate in a PEM bundle, in its order; none if there is none or one of them cannot be read.
pub(crate) fn ends(bundle: &[u8]) -> Option<Vec<Timestamp>> {
    let bundle = std::str::from_utf8(bundle).ok()?;
    let mut ends = Vec::new();
    for block in bundle.split(BEGIN).skip(1) {
        let (body, _) = block.split_once(END)?;
        let body: String = body.split_ascii_whitespace().collect();
        // The API's type for bytes reads base64.
        let der = serde_json::from_value::<ByteString>(Value::String(body)).ok()?;
        ends.push(end(&der.0)?);
    }
    (!ends.is_empty()).then_some(ends)
}

/// `Certificate { TBSCertificate { [version], serial, algorithm, issuer, Validity { from, to }, … }, … }` of RFC 5280.
fn end(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (signed, _) = expect(SEQUENCE, certificate)?;
    let (tag, _, after) = element(signed)?;
    let serial_on = if tag == VERSION { after } else { signed };
    let algorithm_on = element(serial_on)?.2;
    let issuer_on = element(algorithm_on)?.2;
    let validity_on = element(issuer_on)?.2;
    let (validity, _) = expect(SEQUENCE, validity_on)?;
    let (tag, to, _) = element(element(validity)?.2)?;
    time(tag, std::str::from_utf8(to).ok()?)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; two digits are of the years 1950 to 2049.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let full = match tag {
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    let (date, clock) =
        ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?, part(12, 14)?));
    format!("{}-{}-{}T{}:{}:{}Z", date.0, date.1, date.2, clock.0, clock.1, clock.2).parse().ok()
}

fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, body, rest) = element(der)?;
    (found == tag).then_some((body, rest))
}

/// The first element: its tag, its body, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Four bytes of length are more than any certificate has.
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Until the first day of 2025, as a UTCTime, in the first version, which has no field for it.
    pub(crate) const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBEjCBuQIUD+K1sTo8aWJtyeKOJgM3b4VGQM4wCgYIKoZIzj0EAwIwDDEKMAgG\n\
A1UEAwwBYTAeFw0yNDAxMDEwMDAwMDBaFw0yNTAxMDEwMDAwMDBaMAwxCjAIBgNV\n\
BAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATLPuO/C21O3pGnAvZJuHIb\n\
yaq04ySXAXvWFSY4MqbS6d3qk4Q03zRLbt2fzTT7cHW2DVwzUvZ6HpMILJvn+DR3\n\
MAoGCCqGSM49BAMCA0gAMEUCIQDrn6TA7anPR8IZjxJrnnFe4d8M/r+wCmSdMb32\n\
GjcniwIgbWkky6rWdG/GwTm8ZSrtuWKrsI/eqnkzDlJBPGKnJu8=\n\
-----END CERTIFICATE-----";

    /// Until the first day of 2060, as a GeneralizedTime, in the third version.
    pub(crate) const VALID: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBTTCB9KADAgECAhQOeyKfnc2OT8Y02SatdLY3JTL31zAKBggqhkjOPQQDAjAM\n\
MQowCAYDVQQDDAFhMCAXDTI0MDEwMTAwMDAwMFoYDzIwNjAwMTAxMDAwMDAwWjAM\n\
MQowCAYDVQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyz7jvwttTt6R\n\
pwL2SbhyG8mqtOMklwF71hUmODKm0und6pOENN80S27dn800+3B1tg1cM1L2eh6T\n\
CCyb5/g0d6MyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUXxmHryLtHYh5\n\
1Ig2MgS8UHnRVtIwCgYIKoZIzj0EAwIDSAAwRQIhAJm4B0IjwXCrB93PZxVXZhjV\n\
kPdIAGiT/VgZU1wrHKvxAiB72L2eiz6GR2k5sF6UnPU1uXL8cU1HHbKNZ+Mu+bfh\n\
aA==\n\
-----END CERTIFICATE-----";

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn the_end_of_every_certificate_of_a_bundle_is_read() {
        let both = format!("# the old one\n{EXPIRED}\n{VALID}\n");
        assert_eq!(ends(both.as_bytes()), Some(vec![at("2025-01-01T00:00:00Z"), at("2060-01-01T00:00:00Z")]));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let cut = &EXPIRED[..200];
        let short = format!("{BEGIN}MIIB{END}");
        let huge = format!("{BEGIN}MIT/////{END}");
        for bundle in
            ["", "no PEM", cut, &short, &huge, "-----BEGIN CERTIFICATE-----!!-----END CERTIFICATE-----"]
        {
            assert_eq!(ends(bundle.as_bytes()), None, "{bundle}");
        }
        assert_eq!(ends(&[0xff, 0xfe]), None);
    }

    #[test]
    fn a_certificate_cut_anywhere_is_no_certificate_and_no_panic() {
        let body: String = EXPIRED.replace(BEGIN, "").replace(END, "").split_ascii_whitespace().collect();
        let der = serde_json::from_value::<ByteString>(Value::String(body)).unwrap().0;
        assert_eq!(end(&der), Some(at("2025-01-01T00:00:00Z")));
        for length in 0..der.len() {
            assert_eq!(end(&der[..length]), None, "{length}");
        }
    }
}
