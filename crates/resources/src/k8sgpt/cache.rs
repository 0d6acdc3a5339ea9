//! Where explanations are kept.

use serde::{Deserialize, Serialize};

use super::ObjectName;

/// Where explanations are kept beside the analysis' own store. Of several the first counts: s3, azure, gcs, interplex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteCache {
    /// Secret with the keys aws_access_key_id and aws_secret_access_key for S3, or azure_client_id, azure_tenant_id and
    /// azure_client_secret for Azure. Absent means what the pod's own identity may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<ObjectName>,
    /// Google Cloud Storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcs: Option<Gcs>,
    /// Amazon S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// Azure Blob Storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure: Option<Azure>,
    /// K8sGPT's own cache server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interplex: Option<Interplex>,
}

/// Google Cloud Storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gcs {
    /// Name of the bucket.
    pub bucket_name: String,
    /// Its region.
    pub region: String,
    /// Project that it belongs to.
    pub project_id: String,
}

/// Amazon S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// Name of the bucket.
    pub bucket_name: String,
    /// Its region.
    pub region: String,
}

/// Azure Blob Storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Azure {
    /// Storage account. It must exist.
    pub storage_account: String,
    /// Name of the container.
    pub container_name: String,
}

/// K8sGPT's own cache server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Interplex {
    /// Its address, as host:port.
    pub endpoint: String,
}

/// The cache that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache<'a> {
    /// Amazon S3.
    S3(&'a S3),
    /// Azure Blob Storage.
    Azure(&'a Azure),
    /// Google Cloud Storage.
    Gcs(&'a Gcs),
    /// K8sGPT's own cache server.
    Interplex(&'a Interplex),
}

impl RemoteCache {
    /// The cache that counts; none where none is named.
    pub fn chosen(&self) -> Option<Cache<'_>> {
        let s3 = self.s3.as_ref().map(Cache::S3);
        let azure = || self.azure.as_ref().map(Cache::Azure);
        let gcs = || self.gcs.as_ref().map(Cache::Gcs);
        let interplex = || self.interplex.as_ref().map(Cache::Interplex);
        s3.or_else(azure).or_else(gcs).or_else(interplex)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn of_several_caches_the_first_of_the_originals_order_counts() {
        let azure = json!({ "storageAccount": "a", "containerName": "c" });
        let mut caches = json!({ "interplex": { "endpoint": "cache:8084" } });
        let chosen = |caches: &serde_json::Value| {
            let cache: RemoteCache = from_value(caches.clone()).unwrap();
            cache.chosen().map(|chosen| format!("{chosen:?}"))
        };
        assert!(chosen(&caches).unwrap().starts_with("Interplex"));
        caches["gcs"] = json!({ "bucketName": "b", "region": "r", "projectId": "p" });
        assert!(chosen(&caches).unwrap().starts_with("Gcs"));
        caches["azure"] = azure;
        assert!(chosen(&caches).unwrap().starts_with("Azure"));
        caches["s3"] = json!({ "bucketName": "b", "region": "r" });
        assert!(chosen(&caches).unwrap().starts_with("S3"));
        assert_eq!(chosen(&json!({ "credentials": { "name": "x" } })), None);
    }
}
