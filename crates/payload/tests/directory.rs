//! Payloads in a directory.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod support;

use std::{fs, path::Path, time::Duration};

use asya_payload::{ClaimError, Claims, Event, Options, store::directory};
use support::{checked_in, claims, conforms, payload};

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[tokio::test]
async fn a_directory_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    conforms(directory(&folder.path().join("payloads")).unwrap()).await;
}

#[tokio::test]
async fn small_payloads_travel_and_too_large_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { threshold: 100, most: 1000, ..Options::default() };
    let claims = Claims::new(directory(folder.path()).unwrap(), options);
    assert_eq!(claims.check_in("a", &payload(98)).await.unwrap(), None);
    assert!(claims.check_in("a", &payload(99)).await.unwrap().is_some());
    let refused = claims.check_in("a", &payload(999)).await.unwrap_err();
    assert_eq!(refused, ClaimError::TooLarge { size: 1001, most: 1000 });
    assert_eq!(claims.at_most(10).check_in("a", &payload(98)).await.unwrap().unwrap().size, 100);
    assert_eq!(files(folder.path()).len(), 2);
}

#[tokio::test]
async fn whoever_watches_is_told_what_was_stored_and_read_and_what_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { threshold: 100, most: 1000, ..Options::default() };
    let (sender, events) = std::sync::mpsc::channel();
    let claims = Claims::new(directory(folder.path()).unwrap(), options)
        .watched(move |event| sender.send(event).unwrap())
        .at_most(90);
    assert_eq!(claims.check_in("a", &payload(10)).await.unwrap(), None);
    let reference = checked_in(&claims, "a", &payload(200)).await;
    claims.redeem("a", &reference).await.unwrap();
    claims.check_in("a", &payload(2000)).await.unwrap_err();
    claims.redeem("b", &reference).await.unwrap_err();
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    claims.redeem("a", &reference).await.unwrap_err();
    fs::write(folder.path().join("a"), "a file where a folder should be").unwrap();
    claims.put(&reference, &payload(200)).await.unwrap_err();
    let told: Vec<_> = events.try_iter().collect();
    assert_eq!(
        told,
        [
            Event::CheckedIn(202),
            Event::Fetched(202),
            Event::NotCheckedIn("too_large"),
            Event::NotFetched("invalid"),
            Event::NotFetched("missing"),
            Event::NotCheckedIn("unavailable"),
        ]
    );
}

#[cfg(unix)]
#[tokio::test]
async fn others_on_the_machine_do_not_read_payloads() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payloads");
    checked_in(&claims(directory(&path).unwrap()), "a", &payload(100)).await;
    for folder in [path.clone(), path.join("a")] {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{folder:?}");
    }
}

#[tokio::test]
async fn many_writers_of_one_payload_leave_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let claims = claims(directory(folder.path()).unwrap());
    let writers: Vec<_> = (0..16)
        .map(|_| {
            let claims = claims.clone();
            tokio::spawn(async move { checked_in(&claims, "a", &payload(100_000)).await })
        })
        .collect();
    for writer in writers {
        let reference = writer.await.unwrap();
        assert_eq!(claims.redeem("a", &reference).await.unwrap(), payload(100_000));
    }
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_directory_that_takes_no_files_is_unavailable_and_works_again_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let claims = claims(directory(folder.path()).unwrap());
    let in_the_way = folder.path().join("a");
    fs::write(&in_the_way, "a file where a folder should be").unwrap();
    let refused = claims.check_in("a", &payload(100)).await.unwrap_err();
    assert!(matches!(refused, ClaimError::Unavailable { .. }), "{refused}");
    fs::remove_file(&in_the_way).unwrap();
    checked_in(&claims, "a", &payload(100)).await;
}

#[tokio::test]
async fn the_sweep_takes_what_is_older_than_its_lifetime_and_nothing_that_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { threshold: 10, lifetime: Duration::from_secs(24 * 3600), ..Options::default() };
    let claims = Claims::new(directory(folder.path()).unwrap(), options);
    let old = checked_in(&claims, "old", &payload(100)).await;
    checked_in(&claims, "new", &payload(100)).await;
    let in_old = folder.path().join("old");
    let unfinished = in_old.join(format!("{}.1-2-3.new", old.sha256));
    let foreign = folder.path().join("new").join("notes.txt");
    fs::write(&unfinished, "half").unwrap();
    fs::write(&foreign, "mine").unwrap();
    let age = std::time::SystemTime::now() - Duration::from_secs(26 * 3600);
    for file in [in_old.join(&old.sha256), unfinished, foreign.clone()] {
        fs::File::options().write(true).open(file).unwrap().set_modified(age).unwrap();
    }
    let swept = claims.sweep().await.unwrap();
    assert_eq!((swept.removed, swept.kept), (2, 1));
    assert!(!in_old.exists() && foreign.exists());
    assert!(matches!(claims.redeem("old", &old).await, Err(ClaimError::Missing { .. })));
}
