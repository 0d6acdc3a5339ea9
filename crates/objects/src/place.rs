//! Which store, and how it is opened.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpRequest, HttpRequestBody},
    local::LocalFileSystem,
    path::Path,
    signer::{Method, Signer as _},
};

use crate::connect::Connect;

/// Credentials of a MinIO that nobody has configured: what the Go system takes with `ASYA_S3_ENDPOINT`.
const MINIO_KEY: &str = "minioadmin";
/// AWS's own first region, and what other servers take.
const DEFAULT_REGION: &str = "us-east-1";
/// Tries within one write. The engine tries again with growing pauses, so these only bridge a hiccup.
const TRIES: usize = 2;
/// How long they may take together.
const TRY_FOR: Duration = Duration::from_secs(20);
/// How long the signature of the request that makes a bucket counts.
const SIGNED_FOR: Duration = Duration::from_secs(60);

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// S3, or a server that speaks it.
    S3(S3),
    /// A directory; each file is synced to the disk before it counts as stored.
    Directory(PathBuf),
    /// `s3://`, `gs://`, `az://`: configured by the environment variables of that cloud.
    Url(String),
}

/// A bucket, as the environment of the Go system names it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Address of a server that is not AWS.
    pub endpoint: Option<String>,
    /// Key id and secret; else, with an endpoint, MinIO's defaults, and without one the standard chain of AWS.
    pub key: Option<(String, String)>,
    /// Region.
    pub region: Option<String>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("key", &self.key.as_ref().map(|_| "***"))
            .field("region", &self.region)
            .finish()
    }
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct PlaceError {
    place: String,
    reason: String,
}

/// An opened store.
pub struct Opened {
    /// What is written to and read from.
    pub store: Arc<dyn ObjectStore>,
    /// Set where a missing bucket can be made.
    pub bucket: Option<Bucket>,
    /// Address of the store, in front of keys.
    pub base: String,
    /// Attributes are not kept by a directory, which refuses them.
    pub keeps_attributes: bool,
}

impl Place {
    /// The place that `url` names: `file:///dir`, `s3://bucket`, `gs://bucket`, `az://container`.
    ///
    /// # Errors
    /// A sentence for another scheme, or one that was not compiled in.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Directory(rest.into())),
            "file" => Err(format!("{url:?} must name an absolute path: file:///var/lib/asya")),
            "s3" | "gs" if rest.trim_end_matches('/').contains('/') => Err(format!(
                "{url:?} must name a bucket and no more; what keys begin with is said by ASYA_S3_RESULTS_PREFIX and \
                 ASYA_S3_ERRORS_PREFIX"
            )),
            "s3" => Ok(Self::Url(url.to_owned())),
            "gs" if cfg!(feature = "gcp") => Ok(Self::Url(url.to_owned())),
            "az" | "abfs" | "abfss" if cfg!(feature = "azure") => Ok(Self::Url(url.to_owned())),
            "gs" => Err("this program was built without Google Cloud Storage (feature gcp)".to_owned()),
            "az" | "abfs" | "abfss" => Err("this program was built without Azure (feature azure)".to_owned()),
            _ => Err(format!("{url:?} must begin with file:///, s3://, gs:// or az://")),
        }
    }

    /// Opens the store; nothing is sent yet.
    ///
    /// # Errors
    /// A place that cannot be used whatever is waited for.
    pub fn open(&self) -> Result<Opened, PlaceError> {
        let failed = |reason: String| PlaceError { place: self.name(), reason };
        let open = |error: object_store::Error| failed(error.to_string());
        match self {
            Self::Directory(directory) => {
                std::fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
                let store = LocalFileSystem::new_with_prefix(directory).map_err(open)?.with_fsync(true);
                let base = format!("file://{}", directory.display());
                Ok(Opened { store: Arc::new(store), bucket: None, base, keeps_attributes: false })
            }
            Self::S3(s3) => {
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(&s3.bucket);
                if let Some(region) = &s3.region {
                    builder = builder.with_region(region);
                }
                if let Some(endpoint) = &s3.endpoint {
                    let plain = endpoint.starts_with("http://");
                    builder = builder.with_endpoint(endpoint).with_allow_http(plain);
                }
                let minio = s3.endpoint.as_ref().map(|_| (MINIO_KEY.to_owned(), MINIO_KEY.to_owned()));
                if let Some((id, secret)) = s3.key.clone().or(minio) {
                    builder = builder.with_access_key_id(id).with_secret_access_key(secret);
                }
                let tls = s3.endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with("https://"));
                let region = s3.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
                s3_store(builder, tls, region, format!("s3://{}", s3.bucket)).map_err(failed)
            }
            Self::Url(url) => self.of_url(url).map_err(failed),
        }
    }

    fn of_url(&self, url: &str) -> Result<Opened, String> {
        let base = url.trim_end_matches('/').to_owned();
        let connect = Connect { tls: true };
        #[cfg(feature = "gcp")]
        if url.starts_with("gs://") {
            let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env().with_url(url);
            let store = builder.with_http_connector(connect).with_retry(retry()).build();
            let store = Arc::new(store.map_err(|error| error.to_string())?);
            return Ok(Opened { store, bucket: None, base, keeps_attributes: true });
        }
        #[cfg(feature = "azure")]
        if !url.starts_with("s3://") {
            let builder = object_store::azure::MicrosoftAzureBuilder::from_env().with_url(url);
            let store = builder.with_http_connector(connect).with_retry(retry()).build();
            let store = Arc::new(store.map_err(|error| error.to_string())?);
            return Ok(Opened { store, bucket: None, base, keeps_attributes: true });
        }
        let region = std::env::var("AWS_REGION").unwrap_or_else(|_| DEFAULT_REGION.to_owned());
        s3_store(AmazonS3Builder::from_env().with_url(url), connect.tls, region, base)
    }

    fn name(&self) -> String {
        match self {
            Self::S3(s3) => format!("bucket {}", s3.bucket),
            Self::Directory(directory) => format!("directory {}", directory.display()),
            Self::Url(url) => url.clone(),
        }
    }
}

fn s3_store(builder: AmazonS3Builder, tls: bool, region: String, base: String) -> Result<Opened, String> {
    let connect = Connect { tls };
    let client = connect.client()?;
    let store = builder.with_http_connector(connect).with_retry(retry()).build();
    let store = Arc::new(store.map_err(|error| error.to_string())?);
    let bucket = Bucket { store: store.clone(), client, region };
    Ok(Opened { store, bucket: Some(bucket), base, keeps_attributes: true })
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: TRIES, retry_timeout: TRY_FOR, ..RetryConfig::default() }
}

/// A bucket that can be made.
pub struct Bucket {
    store: Arc<AmazonS3>,
    client: object_store::client::HttpClient,
    region: String,
}

impl Bucket {
    /// Makes it; returns the server's status. A bucket that is there already is as good.
    ///
    /// # Errors
    /// A sentence, when the server does not make it.
    pub async fn make(&self, method: Method) -> Result<u16, String> {
        let url = self.store.signed_url(method.clone(), &Path::default(), SIGNED_FOR).await;
        let url = url.map_err(|error| format!("making the bucket: {error}"))?;
        let body = if self.region == DEFAULT_REGION {
            HttpRequestBody::empty()
        } else {
            let region = &self.region;
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
            .into()
        };
        let mut request = HttpRequest::new(body);
        // Servers ask for it, even where there is no body.
        let length = request.body().content_length();
        request.headers_mut().insert("content-length", length.into());
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(|_| format!("address {url} cannot be used"))?;
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|error| format!("making the bucket: {}", crate::chain(&error)))?;
        // 409: somebody made it meanwhile.
        match answer.status().as_u16() {
            status @ (200..300 | 409) => Ok(status),
            status => Err(format!("the bucket is not there, and making it is answered with {status}")),
        }
    }
}
