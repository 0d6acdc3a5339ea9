//! The volumes of one pod as folders of this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Container, KeyToPath, Pod, ServiceAccountTokenProjection, Volume};

use crate::objects::{Entries, Kind, Objects};
use crate::paths::Paths;

/// Kubernetes' default mode of a projected file.
const DEFAULT_MODE: i32 = 0o644;
/// Of a token that names no time, in seconds.
const DEFAULT_EXPIRATION: i64 = 3600;

/// Makes or refreshes the folder of every volume of the pod. Files of Secrets and ConfigMaps are replaced in one step,
/// so a reader never sees half of one.
///
/// # Errors
/// In the kubelet's words, for the event `FailedMount`.
pub(crate) async fn materialise(pod: &Pod, root: &Path, claims: &Path, objects: &Objects) -> Result<()> {
    // Where its containers run, also when it has no volume.
    tokio::fs::create_dir_all(root).await?;
    for volume in volumes(pod) {
        let folder = folder(volume, root, claims);
        fill(volume, &folder, pod, objects)
            .await
            .with_context(|| format!("MountVolume.SetUp failed for volume \"{}\"", volume.name))?;
    }
    Ok(())
}

/// Where the container's mounts are here.
pub(crate) fn mounts(pod: &Pod, container: &Container, root: &Path, claims: &Path) -> Paths {
    let of_volume =
        |name: &str| volumes(pod).find(|volume| volume.name == name).map(|v| folder(v, root, claims));
    Paths::new(container.volume_mounts.iter().flatten().filter_map(|mount| {
        let folder = of_volume(&mount.name)?;
        let here = mount.sub_path.as_ref().map_or(folder.clone(), |below| folder.join(below));
        Some((mount.mount_path.clone(), here))
    }))
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

fn folder(volume: &Volume, root: &Path, claims: &Path) -> PathBuf {
    if let Some(claim) = &volume.persistent_volume_claim {
        return claims.join(&claim.claim_name);
    }
    match &volume.host_path {
        Some(host) => PathBuf::from(&host.path),
        None => root.join(&volume.name),
    }
}

async fn fill(volume: &Volume, folder: &Path, pod: &Pod, objects: &Objects) -> Result<()> {
    if volume.host_path.is_some() {
        return Ok(());
    }
    tokio::fs::create_dir_all(folder).await?;
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().context("a secret volume names its secret")?;
        let entries = objects.read(Kind::Secret, name, secret.optional.unwrap_or_default()).await?;
        return write(folder, entries, secret.items.as_deref(), secret.default_mode).await;
    }
    if let Some(map) = &volume.config_map {
        let entries = objects.read(Kind::ConfigMap, &map.name, map.optional.unwrap_or_default()).await?;
        return write(folder, entries, map.items.as_deref(), map.default_mode).await;
    }
    if let Some(projected) = &volume.projected {
        // What else can be projected (the downward API) no pod of ours reads.
        for source in projected.sources.iter().flatten() {
            if let Some(secret) = &source.secret {
                let entries =
                    objects.read(Kind::Secret, &secret.name, secret.optional.unwrap_or_default()).await?;
                write(folder, entries, secret.items.as_deref(), projected.default_mode).await?;
            } else if let Some(map) = &source.config_map {
                let entries =
                    objects.read(Kind::ConfigMap, &map.name, map.optional.unwrap_or_default()).await?;
                write(folder, entries, map.items.as_deref(), projected.default_mode).await?;
            } else if let Some(token) = &source.service_account_token {
                // Without an audience it is the API server's: programs look for it at a path that is built in.
                if token.audience.is_some() && due(&folder.join(&token.path), token).await {
                    let content = objects.token(pod, token).await?;
                    let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
                    replace(&folder.join(&token.path), content.as_bytes(), mode).await?;
                }
            }
        }
        return Ok(());
    }
    if volume.empty_dir.is_some() {
        // Any user of the container may write there.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))?;
        return Ok(());
    }
    if volume.persistent_volume_claim.is_none() {
        bail!("a volume of this kind is not known here");
    }
    Ok(())
}

/// Whether the token is missing, or has lived four fifths of its life.
async fn due(path: &Path, token: &ServiceAccountTokenProjection) -> bool {
    let life = token.expiration_seconds.unwrap_or(DEFAULT_EXPIRATION).try_into().unwrap_or_default();
    let written = tokio::fs::metadata(path).await.and_then(|file| file.modified());
    let age = written.ok().and_then(|written| written.elapsed().ok());
    age.is_none_or(|age| age > Duration::from_secs(life) * 4 / 5)
}

async fn write(
    folder: &Path,
    entries: Option<Entries>,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
) -> Result<()> {
    let entries = entries.unwrap_or_default();
    let mode = default_mode.unwrap_or(DEFAULT_MODE);
    match items {
        None => {
            for (key, content) in &entries {
                replace(&folder.join(key), content, mode).await?;
            }
        }
        Some(items) => {
            for item in items {
                let content = entries
                    .get(&item.key)
                    .with_context(|| format!("references non-existent key: {}", item.key))?;
                replace(&folder.join(&item.path), content, item.mode.unwrap_or(mode)).await?;
            }
        }
    }
    Ok(())
}

async fn replace(path: &Path, content: &[u8], mode: i32) -> Result<()> {
    if tokio::fs::read(path).await.is_ok_and(|present| present == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    tokio::fs::write(&temporary, content).await?;
    let mode = u32::try_from(mode).context("a file mode is not negative")?;
    tokio::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode)).await?;
    Ok(tokio::fs::rename(&temporary, path).await?)
}
