//! How long the lists may be that the CRD's rules walk through.
//!
//! The API server estimates what a rule costs from these numbers before it accepts the CRD. They are far above what a
//! pod has; a list that no rule walks through has no bound.

/// Containers of a pod, and as many init containers.
pub const MAX_CONTAINERS: u32 = 64;
/// Variables of one environment.
pub const MAX_ENV: u32 = 512;
/// Mounts of one container.
pub const MAX_MOUNTS: u32 = 128;
/// Volumes of a pod.
pub const MAX_VOLUMES: u32 = 128;
/// Claims of a StatefulSet's replica.
pub const MAX_CLAIMS: u32 = 32;
