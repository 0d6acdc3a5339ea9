//! The page: every actor, envelope, failure and tool, for people. It is a client of `/api/v1` like any other and holds
//! no secret, so it is served to everybody; what it shows, the API gives.
//!
//! The files are built from `gateway/dashboard` (TypeScript, Vite) and committed, so that cargo builds without npm.
//! `gateway/dashboard/build.sh --check` tells whether they are those of the sources.

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

/// What the page may do: load its own files and talk to its own gateway. No inline script, no frame, no form, nobody
/// else's host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Names do not change with contents: a browser asks each time, and is told by the ETag that nothing changed.
const CACHE: &str = "no-cache";
/// Digits of an ETag: 64 bits of a digest.
const TAG_BYTES: usize = 8;

/// One embedded file.
struct File {
    path: &'static str,
    kind: &'static str,
    body: &'static [u8],
}

macro_rules! file {
    ($path:literal, $source:literal, $kind:literal) => {
        File {
            path: $path,
            kind: $kind,
            body: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dashboard/dist/", $source)),
        }
    };
}

/// Paths are relative to where the router stands; the page asks for them relatively too, below any prefix.
static FILES: [File; 6] = [
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("/ui/app.js", "ui/app.js", "text/javascript; charset=utf-8"),
    file!("/ui/app.css", "ui/app.css", "text/css; charset=utf-8"),
    file!("/ui/theme.js", "ui/theme.js", "text/javascript; charset=utf-8"),
    file!("/ui/icon.svg", "ui/icon.svg", "image/svg+xml"),
    file!("/ui/licenses.txt", "ui/licenses.txt", "text/plain; charset=utf-8"),
];

/// `GET /` and the files below `/ui`.
pub fn router() -> Router {
    FILES.iter().fold(Router::new(), |router, file| {
        let tag = tag(file.body);
        router.route(file.path, get(async move |headers: HeaderMap| answer(file, &tag, &headers)))
    })
}

/// A strong ETag of a body.
fn tag(body: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(body);
    let digits: String = digest.iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{digits}\""))
        .expect("hexadecimal digits in quotes are a header's value")
}

fn answer(file: &File, tag: &HeaderValue, asked: &HeaderMap) -> Response {
    let fixed = |value: &'static str| HeaderValue::from_static(value);
    let headers = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, fixed(CACHE)),
        (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
    ];
    let known = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == "*" || one.as_bytes() == tag.as_bytes())
    };
    if asked.get_all(header::IF_NONE_MATCH).iter().any(known) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, fixed(file.kind))], file.body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, known: Option<&HeaderValue>) -> Response {
        let mut request = Request::get(path);
        if let Some(tag) = known {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn every_file_that_the_page_names_is_served_under_the_policy_and_once() {
        let page = ask("/", None).await;
        assert_eq!(page.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let page = page.into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8(page.to_vec()).unwrap();
        let named: Vec<_> = page
            .split(['"', '\''])
            .map(|part| part.trim_start_matches("./"))
            .filter(|part| part.starts_with("ui/"))
            .collect();
        assert!(named.len() >= 4, "{named:?}");
        for path in named {
            let path = format!("/{path}");
            let first = ask(&path, None).await;
            assert_eq!(first.status(), StatusCode::OK, "{path}");
            let again = ask(&path, Some(&first.headers()[header::ETAG])).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
        assert_eq!(ask("/ui/other.js", None).await.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_has_no_inline_script_and_no_other_host() {
        let page = std::str::from_utf8(FILES[0].body).unwrap();
        for script in page.split("<script").skip(1) {
            assert!(script.contains("src=") && script.contains("></script>"), "{script}");
        }
        assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    }
}
