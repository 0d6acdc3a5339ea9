//! Where explanations are kept beside the database.

use asya_resources::k8sgpt::{K8sGptSpec, cache::Cache};

use super::env::Env;

const URL: &str = "ASYA_EXPLAIN_CACHE_URL";

/// Variables of the place, with credentials from the Secret that the manifest names.
pub fn env(spec: &K8sGptSpec) -> Env {
    let mut env = Env::default();
    let Some(remote) = spec.remote_cache.as_ref().filter(|_| !spec.no_cache) else { return env };
    let credentials = remote.credentials.as_ref().and_then(|secret| secret.name.as_deref());
    let credentials = credentials.filter(|name| !name.is_empty());
    let from_secret = |env: &mut Env, names: &[&str]| {
        for name in names {
            if let Some(secret) = credentials {
                env.secret(name, secret, &name.to_ascii_lowercase());
            }
        }
    };
    match remote.chosen() {
        Some(Cache::S3(s3)) => {
            env.plain(URL, format!("s3://{}", s3.bucket_name));
            env.some("AWS_REGION", Some(&s3.region));
            from_secret(&mut env, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
        }
        Some(Cache::Azure(azure)) => {
            env.plain(URL, format!("az://{}", azure.container_name));
            env.plain("AZURE_STORAGE_ACCOUNT_NAME", &azure.storage_account);
            from_secret(&mut env, &["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"]);
        }
        Some(Cache::Gcs(gcs)) => env.plain(URL, format!("gs://{}", gcs.bucket_name)),
        Some(Cache::Interplex(_)) | None => {}
    }
    env
}
