//! Who gets in, over HTTP, with an issuer that signs what it is told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use ::ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use asya_settings::Secret;
use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode, header},
    middleware::from_fn_with_state,
    routing::get,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tower::ServiceExt;

use super::{
    Auth, Callbacks, Failures, Oidc, Principal, Roles, TokensAt,
    keys::{Keys, Place},
    layer,
    rate::Rates,
    verifier::{LEEWAY, Verifier},
};
use crate::{metrics::Metrics, service::Reporter};

const ISSUER: &str = "https://issuer.example";
const FAR: i64 = 4_000_000_000;

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

/// A key that signs, by its id.
struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { id, pair }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig",
            "x": base64(&point[1..33]), "y": base64(&point[33..]),
        })
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message =
            format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", base64(signature.as_ref()))
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": "ES256", "typ": "JWT", "kid": self.id}), claims)
    }
}

/// Serves keys, and counts how often it is asked.
#[derive(Clone, Default)]
struct Issuer {
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn serve(&self) -> String {
        let app = Router::new().route(
            "/keys",
            get(async |State(issuer): State<Self>| {
                issuer.asked.fetch_add(1, Relaxed);
                json!({"keys": *issuer.keys.lock().unwrap()}).to_string()
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let app = app.with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    async fn verifier(&self, audience: &str) -> Verifier {
        let keys = Keys::new(Place::Address(self.serve().await), None, None).unwrap();
        Verifier::new(ISSUER.to_owned(), audience.to_owned(), keys)
    }
}

fn closed() -> Auth {
    Auth {
        open: false,
        tokens: watch::channel(Default::default()).1,
        oidc: None,
        callbacks: Callbacks::default(),
        rates: None,
        failures: Failures::default(),
        reports: None,
        public_url: Some("https://gw.example".to_owned()),
        metrics: Metrics::new(),
    }
}

fn app(auth: Auth) -> Router {
    let auth = Arc::new(auth);
    let people = Router::new()
        .route("/who", get(async |Extension(who): Extension<Principal>| who.name))
        .route_layer(from_fn_with_state(Arc::clone(&auth), layer::people));
    let sidecars = Router::new()
        .route(
            "/report",
            get(async |Extension(from): Extension<Reporter>| {
                from.namespace.unwrap_or_else(|| "any".to_owned())
            }),
        )
        .route_layer(from_fn_with_state(auth, layer::sidecars));
    people.merge(sidecars)
}

/// Status, challenge and body.
async fn ask(app: &Router, path: &str, token: Option<&str>) -> (StatusCode, String, String) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenge = answer.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, challenge, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn only_a_known_token_gets_in_and_a_wrong_one_is_told_so() {
    let at = TokensAt { admin: Some(Secret::Plain("0123456789abcdef".to_owned())), ..TokensAt::default() };
    let app = app(Auth { tokens: watch::channel(at.read().unwrap()).1, ..closed() });
    assert_eq!(ask(&app, "/who", Some("0123456789abcdef")).await.2, "admin");
    let (status, challenge, _) = ask(&app, "/who", None).await;
    assert_eq!((status, &*challenge), (StatusCode::UNAUTHORIZED, "Bearer realm=\"asya\""));
    let (status, challenge, body) = ask(&app, "/who", Some("0123456789abcdeX")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(challenge.contains("invalid_token") && body.contains("not known"), "{challenge} {body}");
    assert!(!body.contains("abcdeX"), "{body}");
    // What people come with is not what sidecars come with.
    assert_eq!(ask(&app, "/report", Some("0123456789abcdef")).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_of_the_identity_provider_is_checked_whole() {
    let (issuer, key, stranger) = (Issuer::default(), Key::new("one"), Key::new("one"));
    issuer.keys.lock().unwrap().extend([json!({"kty": "future", "kid": "zero"}), key.public()]);
    let mapping = BTreeMap::from([("ops".to_owned(), Roles::ALL)]);
    let oidc = Oidc::new(issuer.verifier("asya").await, "realm.roles", "realm.groups", mapping);
    let app = app(Auth { oidc: Some(oidc), ..closed() });
    let claims = |change: &str, value: Value| {
        let mut claims = json!({"iss": ISSUER, "aud": ["asya", "x"], "sub": "ada", "exp": FAR, "realm": {"roles": ["ops"]}});
        claims[change] = value;
        claims
    };
    let good = claims("iat", json!(1));
    assert_eq!(ask(&app, "/who", Some(&key.sign(&good))).await.2, "oidc:ada");
    for (wrong, why) in [
        (key.sign(&claims("exp", json!(1_000_000_000))), "expired"),
        (key.sign(&claims("nbf", json!(FAR))), "not good yet"),
        (key.sign(&claims("aud", json!("other"))), "another audience"),
        (key.sign(&claims("aud", Value::Null)), "no claim aud"),
        (key.sign(&claims("iss", json!("https://evil.example"))), "another issuer"),
        (stranger.sign(&good), "not genuine"),
        (key.sign_as(&json!({"alg": "none", "kid": "one"}), &good), "not known"),
        (key.sign_as(&json!({"alg": "HS256", "kid": "one"}), &good), "not taken"),
        (key.sign_as(&json!({"alg": "RS256", "kid": "one"}), &good), "not genuine"),
        (Key::new("two").sign(&good), "does not have"),
        ("a.b.c".to_owned(), "not known"),
    ] {
        let (status, challenge, body) = ask(&app, "/who", Some(&wrong)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{why}: {body}");
        assert!(body.contains(why), "{why} is not in {body}");
        let metadata = "resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource\"";
        assert!(challenge.contains(metadata), "{challenge}");
    }
}

#[tokio::test]
async fn a_token_of_the_identity_provider_tells_groups_and_how_long_it_is_good() {
    let (issuer, key) = (Issuer::default(), Key::new("one"));
    issuer.keys.lock().unwrap().push(key.public());
    let oidc = Oidc::new(issuer.verifier("asya").await, "roles", "realm.groups", BTreeMap::new());
    for (groups, told) in [
        (json!(["sre", "dev", 7, "system:masters", ""]), vec!["dev", "sre"]),
        (json!("sre dev"), vec!["dev", "sre"]),
        (json!({"sre": true}), vec![]),
        (Value::Null, vec![]),
    ] {
        let claims = json!({"iss": ISSUER, "aud": "asya", "sub": "ada", "exp": FAR, "roles": ["chat"], "realm": {"groups": groups}});
        let (who, end) = oidc.principal(&key.sign(&claims)).await.unwrap();
        assert_eq!(who.groups, told, "{groups}");
        // Clocks differ by as much as for the token itself.
        assert_eq!((end.as_second(), who.until), (FAR + LEEWAY.cast_signed(), Some(end)));
    }
}

#[tokio::test]
async fn keys_are_fetched_once_again_for_a_new_key_and_not_for_every_made_up_one() {
    let (issuer, old, new) = (Issuer::default(), Key::new("old"), Key::new("new"));
    issuer.keys.lock().unwrap().push(old.public());
    let verifier = issuer.verifier("asya").await;
    let claims = json!({"iss": ISSUER, "aud": "asya", "sub": "ada", "exp": FAR});
    for _ in 0..3 {
        verifier.claims(&old.sign(&claims)).await.unwrap();
    }
    assert_eq!(issuer.asked.load(Relaxed), 1);
    issuer.keys.lock().unwrap().push(new.public());
    assert!(verifier.claims(&new.sign(&claims)).await.is_err(), "a fetch has just been");
    assert_eq!(issuer.asked.load(Relaxed), 1);
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(11)).await;
    tokio::time::resume();
    verifier.claims(&new.sign(&claims)).await.unwrap();
    for _ in 0..5 {
        assert!(verifier.claims(&Key::new("made-up").sign(&claims)).await.is_err());
    }
    assert_eq!(issuer.asked.load(Relaxed), 2);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_no_reason_to_send_people_away_for_good() {
    let keys = Keys::new(Place::Address("http://127.0.0.1:1/keys".to_owned()), None, None).unwrap();
    let verifier = Verifier::new(ISSUER.to_owned(), "asya".to_owned(), keys);
    let app = app(Auth { oidc: Some(Oidc::new(verifier, "roles", "groups", BTreeMap::new())), ..closed() });
    let token = Key::new("one").sign(&json!({"iss": ISSUER, "aud": "asya", "sub": "ada", "exp": FAR}));
    let (status, _, body) = ask(&app, "/who", Some(&token)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
}

#[tokio::test]
async fn a_sidecar_shows_the_secret_or_the_token_of_its_account() {
    let (issuer, key) = (Issuer::default(), Key::new("one"));
    issuer.keys.lock().unwrap().push(key.public());
    let callbacks = Callbacks {
        secret: Some(Secret::Plain("shared".to_owned())),
        cluster: Some(issuer.verifier("asya-gateway").await),
        open: false,
    };
    let app = app(Auth { callbacks, ..closed() });
    let account =
        |subject: &str| key.sign(&json!({"iss": ISSUER, "aud": "asya-gateway", "sub": subject, "exp": FAR}));
    assert_eq!(ask(&app, "/report", Some("shared")).await.2, "any");
    let token = account("system:serviceaccount:team:ocr");
    assert_eq!(ask(&app, "/report", Some(&token)).await.2, "team");
    for wrong in [None, Some("share"), Some(&*account("ada"))] {
        assert_eq!(ask(&app, "/report", wrong).await.0, StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    // Nor do sidecars come in as people.
    assert_eq!(ask(&app, "/who", Some("shared")).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_guesses_tokens_is_told_to_wait_and_sidecars_may_report_so_often() {
    let at = TokensAt { admin: Some(Secret::Plain("0123456789abcdef".to_owned())), ..TokensAt::default() };
    let tokens = watch::channel(at.read().unwrap()).1;
    let callbacks = Callbacks { secret: Some(Secret::Plain("shared".to_owned())), ..Callbacks::default() };
    let limited = Auth { tokens, callbacks, failures: Failures::new(Some(2)), ..closed() };
    let guessed = app(limited);
    assert_eq!(ask(&guessed, "/report", Some("shared")).await.2, "any");
    // Whichever way the guesses go.
    for (path, token) in [("/who", "wrong"), ("/report", "wrong")] {
        assert_eq!(ask(&guessed, path, Some(token)).await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, _, body) = ask(&guessed, "/who", Some("0123456789abcdef")).await;
    assert!(status == StatusCode::TOO_MANY_REQUESTS && body.contains("wrong credentials"), "{body}");
    assert_eq!(ask(&guessed, "/report", Some("shared")).await.0, StatusCode::OK, "it has been good");
    assert_eq!(ask(&guessed, "/who", None).await.0, StatusCode::UNAUTHORIZED, "nothing is no guess");

    let callbacks = Callbacks { open: true, ..Callbacks::default() };
    let app = app(Auth { callbacks, reports: Some(Rates::new(1)), ..closed() });
    for _ in 0..2 {
        assert_eq!(ask(&app, "/report", None).await.0, StatusCode::OK);
    }
    let (status, _, body) = ask(&app, "/report", None).await;
    assert!(status == StatusCode::TOO_MANY_REQUESTS && body.contains("1 s"), "{status} {body}");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let app = app(Auth { open: true, rates: Some(Rates::new(1)), ..closed() });
    assert_eq!(ask(&app, "/who", None).await.2, "anonymous");
    assert_eq!(ask(&app, "/who", None).await.0, StatusCode::OK);
    let (status, _, body) = ask(&app, "/who", None).await;
    assert!(status == StatusCode::TOO_MANY_REQUESTS && body.contains("1 s"), "{status} {body}");
}
