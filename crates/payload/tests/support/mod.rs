//! What must hold of every store.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use asya_envelope::Raw;
use asya_payload::{ClaimError, Claims, Options, PayloadStore, Reference, store::Key};

pub(crate) fn claims(store: Arc<dyn PayloadStore>) -> Claims {
    Claims::new(store, Options { threshold: 10, ..Options::default() })
}

/// A payload of about `size` bytes.
pub(crate) fn payload(size: usize) -> Raw {
    Raw::of(&"x".repeat(size))
}

pub(crate) async fn checked_in(claims: &Claims, owner: &str, payload: &Raw) -> Reference {
    claims.check_in(owner, payload).await.unwrap().expect("it is large")
}

/// What every store must do.
pub(crate) async fn conforms(store: Arc<dyn PayloadStore>) {
    let claims = claims(store);
    let large = payload(3_000_000);
    let reference = checked_in(&claims, "job/../7", &large).await;
    assert_eq!(claims.redeem("job/../7", &reference).await.unwrap(), large);
    assert_eq!(claims.redeem("job/../7-2", &reference).await.unwrap(), large);

    // Once more is the same object.
    let again = checked_in(&claims, "job/../7", &large).await;
    assert_eq!((again.sha256.as_str(), again.owner.as_str()), (&*reference.sha256, "job/../7"));
    let later = SystemTime::now() - Duration::from_secs(600);
    assert_eq!(claims.store().sweep(later).await.unwrap().kept, 1);

    // Somebody else's, a wrong size, a digest that nothing has.
    assert!(matches!(claims.redeem("other", &reference).await, Err(ClaimError::Invalid(_))));
    for size in [reference.size - 1, reference.size + 1] {
        let wrong = Reference { size, ..reference.clone() };
        assert!(matches!(claims.redeem("job/../7", &wrong).await, Err(ClaimError::Invalid(_))), "{size}");
    }
    let absent = Reference { sha256: "0".repeat(64), ..reference.clone() };
    assert!(matches!(claims.redeem("job/../7", &absent).await, Err(ClaimError::Missing { .. })));
    let path = Reference { sha256: "../../secret".to_owned(), ..reference.clone() };
    assert!(matches!(claims.redeem("job/../7", &path).await, Err(ClaimError::Invalid(_))));
    let huge = Reference { size: u64::MAX, ..reference.clone() };
    assert!(matches!(claims.redeem("job/../7", &huge).await, Err(ClaimError::TooLarge { .. })));

    // Other bytes under its name, of the same size.
    let key = Key::of(&reference);
    let mut bytes = large.as_bytes().to_vec();
    bytes[5] = b'y';
    claims.store().put(&key, bytes.into()).await.unwrap();
    let refusal = claims.redeem("job/../7", &reference).await.unwrap_err().to_string();
    assert!(refusal.contains("another digest"), "{refusal}");

    // What was not JSON when it was written.
    let text = bytes::Bytes::from_static(b"no json at all");
    let sha256 = asya_envelope::report::hex_digest(&text);
    let reference = Reference { sha256, size: text.len() as u64, ..reference };
    claims.store().put(&Key::of(&reference), text).await.unwrap();
    let refusal = claims.redeem("job/../7", &reference).await.unwrap_err().to_string();
    assert!(refusal.contains("not JSON"), "{refusal}");

    // Old ones go, and what is gone is said to be.
    let swept = claims.store().sweep(SystemTime::now() + Duration::from_secs(600)).await.unwrap();
    assert_eq!((swept.kept, swept.removed), (0, 2));
    assert!(swept.bytes > 3_000_000);
    assert!(matches!(claims.redeem("job/../7", &reference).await, Err(ClaimError::Missing { .. })));
}
