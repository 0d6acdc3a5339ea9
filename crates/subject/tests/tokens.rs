//! Tokens as they should be, and as somebody would like them.

#![allow(clippy::unwrap_used, reason = "tests")]

use asya_envelope::{Envelope, Raw, Route, lineage::Lineage};
use asya_subject::{AUDIENCE, BadKey, Claims, Invalid, Jwk, Keys, LEEWAY, LIFETIME, LONGEST, Signer};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fn claims() -> Claims {
    Claims {
        iss: "https://gateway.example".to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: "oidc:anna".to_owned(),
        groups: vec!["ops".to_owned()],
        session: "s-1".to_owned(),
        root: "job".to_owned(),
        iat: NOW,
        exp: NOW + LIFETIME,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn signer() -> (Signer, Keys) {
    let (signer, _) = Signer::generate().unwrap();
    let keys = Keys::of([signer.jwk().clone()]).unwrap();
    (signer, keys)
}

fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with another part in the place of one.
fn with(token: &str, at: usize, part: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[at] = part;
    parts.join(".")
}

#[test]
fn what_was_signed_comes_out_again() {
    let (signer, keys) = signer();
    let token = signer.sign(&claims()).unwrap();
    assert_eq!(keys.verify(&token, at(NOW)), Ok(claims()));
}

#[test]
fn a_key_that_was_kept_signs_on() {
    let (signer, kept) = Signer::generate().unwrap();
    let keys = Keys::of([signer.jwk().clone()]).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(&kept)
    );
    for file in [kept.as_slice(), pem.as_bytes()] {
        let again = Signer::from_pkcs8(file).unwrap();
        assert_eq!(again.jwk(), signer.jwk());
        assert!(keys.verify(&again.sign(&claims()).unwrap(), at(NOW)).is_ok());
    }
}

#[test]
fn a_file_that_is_no_key_is_named_and_not_shown() {
    let certificate = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    for file in
        ["", "secret", certificate, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"]
    {
        let Err(BadKey::Private(why)) = Signer::from_pkcs8(file.as_bytes()) else { panic!("{file}") };
        assert!(!why.contains("secret") && !why.contains("c2Vj"), "{why}");
    }
}

#[test]
fn tokens_of_the_key_before_are_good_while_it_is_in_the_set() {
    let ((old, _), (new, _)) = (signer(), signer());
    let token = old.sign(&claims()).unwrap();
    let both = Keys::of([new.jwk().clone(), old.jwk().clone()]).unwrap();
    assert!(both.verify(&token, at(NOW)).is_ok());
    let set = both.to_json().to_string();
    assert_eq!(Keys::parse(set.as_bytes()), Ok(both));
    let only = Keys::of([new.jwk().clone()]).unwrap();
    assert_eq!(only.verify(&token, at(NOW)), Err(Invalid::UnknownKey(old.jwk().kid.clone())));
    assert!(Keys::default().is_empty());
    assert!(matches!(Keys::default().verify(&token, at(NOW)), Err(Invalid::UnknownKey(_))));
}

#[test]
fn another_key_under_the_same_name_signs_nothing() {
    let ((signer, _), (other, _)) = (signer(), signer());
    let taken = Jwk { kid: signer.jwk().kid.clone(), ..other.jwk().clone() };
    let keys = Keys::of([taken]).unwrap();
    assert_eq!(keys.verify(&signer.sign(&claims()).unwrap(), at(NOW)), Err(Invalid::Signature));
}

#[test]
fn sets_of_keys_are_read_strictly() {
    let (signer, keys) = signer();
    let own = serde_json::to_value(signer.jwk()).unwrap();
    let set = |keys: &[Value]| Keys::parse(json!({"keys": keys}).to_string().as_bytes());
    let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
    let curve = json!({"kty": "OKP", "crv": "X25519", "x": "AA"});
    assert_eq!(set(&[rsa, curve, own.clone(), json!(7)]), Ok(keys));
    assert!(set(&[own.clone(), own.clone()]).is_err());
    for (member, value) in [
        ("x", json!("AA")),
        ("x", json!("=")),
        ("alg", json!("none")),
        ("use", json!("enc")),
        ("kid", json!(1)),
    ] {
        let mut broken = own.clone();
        broken[member] = value;
        assert!(matches!(set(&[broken.clone()]), Err(BadKey::Public(_))), "{broken}");
    }
    assert!(Keys::parse(b"[]").is_err());
    assert!(Keys::of([Jwk { kty: "RSA".to_owned(), ..signer.jwk().clone() }]).is_err());
}

#[test]
fn no_other_algorithm_is_taken_whatever_the_token_says() {
    let (signer, keys) = signer();
    let token = signer.sign(&claims()).unwrap();
    let kid = &signer.jwk().kid;
    for alg in ["none", "None", "HS256", "RS256", "ES256", "eddsa", ""] {
        let head = part(&json!({"alg": alg, "kid": kid}));
        for signature in ["", "AA", token.rsplit('.').next().unwrap()] {
            let forged = with(&with(&token, 0, &head), 2, signature);
            assert_eq!(keys.verify(&forged, at(NOW)), Err(Invalid::Algorithm(alg.to_owned())));
        }
    }
}

#[test]
fn a_header_that_says_more_is_refused() {
    let (signer, keys) = signer();
    let token = signer.sign(&claims()).unwrap();
    let kid = &signer.jwk().kid;
    let good = json!({"alg": "EdDSA", "kid": kid});
    for head in [
        json!({"alg": "EdDSA"}),
        json!({"alg": "EdDSA", "kid": kid, "crit": ["b64"], "b64": false}),
        json!({"alg": "EdDSA", "kid": kid, "jwk": signer.jwk()}),
        json!({"alg": "EdDSA", "kid": kid, "jku": "https://evil.example"}),
        json!({"alg": ["EdDSA"], "kid": kid}),
        json!([good]),
        json!("EdDSA"),
    ] {
        let forged = with(&token, 0, &part(&head));
        assert!(matches!(keys.verify(&forged, at(NOW)), Err(Invalid::Malformed(_))), "{head}");
    }
    // The same with nothing to hide is another text than what was signed.
    assert_eq!(keys.verify(&with(&token, 0, &part(&good)), at(NOW)), Err(Invalid::Signature));
    let twice = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}"}}"#));
    assert!(matches!(keys.verify(&with(&token, 0, &twice), at(NOW)), Err(Invalid::Malformed(_))));
}

#[test]
fn a_changed_claim_is_not_genuine() {
    let (signer, keys) = signer();
    let token = signer.sign(&claims()).unwrap();
    for changed in [
        Claims { sub: "oidc:admin".to_owned(), ..claims() },
        Claims { root: "other".to_owned(), ..claims() },
        Claims { groups: vec!["system:masters".to_owned()], ..claims() },
        Claims { exp: i64::MAX, ..claims() },
    ] {
        let forged = with(&token, 1, &part(&serde_json::to_value(changed).unwrap()));
        assert_eq!(keys.verify(&forged, at(NOW)), Err(Invalid::Signature));
    }
}

#[test]
fn every_other_byte_of_a_token_counts() {
    let (signer, keys) = signer();
    let token = signer.sign(&claims()).unwrap();
    for at_byte in 0..token.len() {
        for other in [b'A', b'B', b'.', b'=', b'-'] {
            let mut bytes = token.clone().into_bytes();
            if bytes[at_byte] == other {
                continue;
            }
            bytes[at_byte] = other;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(keys.verify(&changed, at(NOW)).is_err(), "{changed}");
        }
    }
    for changed in [format!("{token}="), format!(" {token}"), format!("{token}\n"), format!("{token}.")] {
        assert!(keys.verify(&changed, at(NOW)).is_err(), "{changed:?}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let (_, keys) = signer();
    for text in ["", ".", "..", "...", "a.b.c", "e30.e30.", "null", "eyJ9.."] {
        assert!(matches!(keys.verify(text, at(NOW)), Err(Invalid::Malformed(_))), "{text}");
    }
    assert_eq!(keys.verify(&"a".repeat(LONGEST + 1), at(NOW)), Err(Invalid::TooLong));
}

#[test]
fn too_many_groups_are_not_signed() {
    let (signer, _) = signer();
    let groups = vec!["g".repeat(100); 100];
    assert_eq!(signer.sign(&Claims { groups, ..claims() }), Err(Invalid::TooLong));
}

#[test]
fn a_token_is_good_from_when_it_was_made_until_it_expires_and_clocks_may_differ_a_little() {
    let (signer, keys) = signer();
    let token = signer.sign(&claims()).unwrap();
    let end = NOW + LIFETIME;
    for (now, good) in [
        (NOW - LEEWAY - 1, Err(Invalid::Early(NOW))),
        (NOW - LEEWAY, Ok(claims())),
        (end + LEEWAY, Ok(claims())),
        (end + LEEWAY + 1, Err(Invalid::Expired(end))),
    ] {
        assert_eq!(keys.verify(&token, at(now)), good, "{now}");
    }
    for (iat, exp) in [(i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
        let token = signer.sign(&Claims { iat, exp, ..claims() }).unwrap();
        assert!(keys.verify(&token, at(NOW)).is_err());
    }
}

#[test]
fn a_token_for_somebody_else_or_about_nobody_is_refused() {
    let (signer, keys) = signer();
    let other = Claims { aud: "asya-gateway".to_owned(), ..claims() };
    let token = signer.sign(&other).unwrap();
    assert_eq!(keys.verify(&token, at(NOW)), Err(Invalid::Audience("asya-gateway".to_owned())));
}

#[test]
fn a_token_covers_its_root_and_what_was_fanned_out_of_it() {
    let fan_out = |input: &Envelope| -> Vec<Envelope> {
        let lineage = Lineage::of(input);
        (0..3)
            .map(|index| {
                let mut item = input.clone();
                lineage.assign(&mut item, index, Some(3));
                item
            })
            .collect()
    };
    let envelope = |id: &str| Envelope::new(id, Route::new(["a"]), Raw::null());
    let root = envelope("job");
    assert!(claims().covers(&root));
    for child in fan_out(&root).iter().flat_map(&fan_out) {
        assert!(claims().covers(&child), "{}", child.id);
    }
    // Envelopes that somebody named so, and what is fanned out of them.
    for other in ["job-1", "job-", "jobs", "jo", "", "job-1-1", "other"].map(envelope) {
        assert!(!claims().covers(&other), "{}", other.id);
        for child in fan_out(&other) {
            assert!(!claims().covers(&child), "{}", child.id);
        }
    }
    // A child's token would not cover its parent.
    let child = Claims { root: "job-1".to_owned(), ..claims() };
    assert!(!child.covers(&root));
}

proptest! {
    /// Whatever comes: an answer, and never a panic.
    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,200}", parts in prop::collection::vec("[A-Za-z0-9_=-]{0,40}", 0..5)) {
        let (_, keys) = signer();
        prop_assert!(keys.verify(&text, at(NOW)).is_err());
        prop_assert!(keys.verify(&parts.join("."), at(NOW)).is_err());
    }

    /// The same for headers and claims that are JSON, and for any time there is.
    #[test]
    fn any_header_and_claims_are_refused(head in ".{0,60}", claims in ".{0,60}", signature in prop::collection::vec(any::<u8>(), 0..80)) {
        let (signer, keys) = signer();
        let good = part(&json!({"alg": "EdDSA", "kid": signer.jwk().kid}));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        for head in [BASE64_URL_SAFE_NO_PAD.encode(&head), good] {
            let token = format!("{head}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(&claims));
            prop_assert!(keys.verify(&token, Timestamp::MAX).is_err());
            prop_assert!(keys.verify(&token, Timestamp::MIN).is_err());
        }
    }
}
